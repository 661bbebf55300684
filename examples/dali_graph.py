"""A DALI pipeline of your own with our operations in it: python examples/dali_graph.py FOLDER_OF_JPEGS

The published order: crop and resize to 224, flip, RandAugment, low frequencies, normalise. Resolution, magnitude and
epoch are inputs of the graph, so one pipeline walks through the curriculum. On a GPU: device_id=0, decode in "mixed".
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def, types

from loaders.integrations.dali import low_frequency_crop, normalize, rand_augment, random_flip

BATCH, SEED = 8, 0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
files = sorted(path for path in Path(sys.argv[1]).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
stage = {"epoch": 0, "resolution": 96, "magnitude": 0.0}


def one_epoch() -> Iterator[tuple[object, ...]]:
    """Batches of files, sample indices, and the stage's settings: one value a sample."""
    for first in range(0, len(files), BATCH):
        indices = np.arange(first, min(first + BATCH, len(files)))
        jpegs = [np.fromfile(files[index], np.uint8) for index in indices]
        yield jpegs, indices, *(np.full(len(indices), value) for value in stage.values())


@pipeline_def(batch_size=BATCH, num_threads=2, device_id=None, seed=SEED, exec_dynamic=True)
def pipeline() -> object:
    whole, real = types.INT64, types.FLOAT64
    jpegs, indices, epoch, resolution, magnitude = fn.external_source(
        source=one_epoch, num_outputs=5, cycle="raise", dtype=[types.UINT8, whole, whole, whole, real]
    )
    images = fn.decoders.image_random_crop(jpegs, device="cpu", random_area=[0.08, 1.0], adjust_orientation=False)
    images = fn.resize(images, size=[224, 224], interp_type=types.INTERP_CUBIC)
    images = random_flip(images, indices, seed=SEED, epoch=epoch)
    images = rand_augment(images, indices, magnitude, seed=SEED, epoch=epoch)
    images = low_frequency_crop(images, resolution)  # or method="lanczos"
    return normalize(images, MEAN, STD)


loader = pipeline()
for stage["epoch"], (stage["resolution"], stage["magnitude"]) in enumerate([(96, 0.0), (160, 5.0), (224, 9.0)]):
    batches = []
    try:
        while True:
            (images,) = loader.run()
            batches.append(torch.from_dlpack(images.as_tensor()))
    except StopIteration:
        loader.reset()
    print(f"B={stage['resolution']}: {len(batches)} batches of {tuple(batches[0].shape)}, {batches[0].dtype}")
