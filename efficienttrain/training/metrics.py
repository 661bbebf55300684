"""Scores of predictions: average precision, F1, mean absolute error, R2. Each is a plain function of arrays.

Definitions are those of scikit-learn's `average_precision_score`, `f1_score` and `r2_score`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def average_precision(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Area under the curve of precision over recall, as a sum of steps; samples of equal score count together.

    Args:
        scores: [n], larger for samples that are more likely to have the label.
        truth: [n], whether the samples have the label.

    Returns:
        0 to 1; NaN if no sample has the label.
    """
    positives = int(truth.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(truth[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # the last sample of each score
    steps = np.diff(found[ends], prepend=0)
    return float((found[ends] / (ends + 1) * steps).sum() / positives)


def f1(hits: NDArray[np.float64], predicted: NDArray[np.float64], actual: NDArray[np.float64]) -> NDArray[np.float64]:
    """The harmonic mean of precision and recall; 0 without any positive prediction or sample.

    Args:
        hits: true positives of each label.
        predicted: positive predictions of each label.
        actual: positive samples of each label.
    """
    return np.divide(2 * hits, predicted + actual, out=np.zeros_like(hits), where=predicted + actual > 0)


def r2(squared_error: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - squared error / variance: 1 is perfect, 0 is as good as predicting the mean.

    Args:
        squared_error: sum over the samples, for each output.
        variance: sum of squared deviations from the mean. If it is 0, the result is 1 without an error, else 0.
    """
    perfect = (squared_error == 0).astype(np.float64)
    return np.where(variance > 0, 1 - squared_error / np.where(variance > 0, variance, 1), perfect)
