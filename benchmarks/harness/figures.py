"""The plots of the reports: one panel a resolution, a row a contestant."""

from __future__ import annotations

from typing import Any

from .report import EQUAL

INK, FAINT, OURS, PEER, LIMIT = "#1b1f24", "#59636e", "#0f7b6c", "#9aa5b1", "#d9a93c"


def throughput(report: dict[str, Any], path: str) -> None:
    """Images per second with quartiles, ours marked, the limit hatched; beside each bar the number and ours / it."""
    settings, results = report["settings"], report["results"]
    labels = list(dict.fromkeys(result["label"] for result in results))[::-1]
    over = {(r["resolution"], *r["over"]): r["median"] for r in report["ratios"] if r["of"] == "ours"}
    figure, panels = panels_of(settings["resolutions"], labels, "images / s", 4.0, 0.42)
    for panel, resolution in zip(panels, settings["resolutions"], strict=True):
        mine = [result for result in results if result["resolution"] == resolution]
        for result in mine:
            _bar(panel, labels.index(result["label"]), result, over.get((resolution, result["contestant"])))
        panel.set_xlim(0, 1.5 * max(result["rate"]["q3"] for result in mine))
        panel.xaxis.set_major_formatter("{x:,.0f}")
    size = f"{settings['records']:,} JPEGs of {settings['mean_file_bytes'] / 1e3:.0f} kB"
    how = f"medians and quartiles of {settings['rounds']} interleaved rounds"
    title = f"Loading images: {settings['threads']} threads, batch {settings['batch_size']}"
    finish(figure, path, title, f"{report['machine']['cpu']}; {size}; {how}")


def fidelity(report: dict[str, Any], path: str) -> None:
    """PSNR to the exact path, median with quartiles; the official path's median as the line to reach."""
    settings = report["settings"]
    results = [result for result in report["results"] if result["psnr"]["median"] < EQUAL]
    labels = list(dict.fromkeys(result["label"] for result in results))[::-1]
    figure, panels = panels_of(settings["resolutions"], labels, "PSNR, dB", 3.0, 0.6)
    for panel, resolution in zip(panels, settings["resolutions"], strict=True):
        for result in (result for result in results if result["resolution"] == resolution):
            psnr, y = result["psnr"], labels.index(result["label"])
            colour = PEER if result["path"] == "official" else OURS
            panel.plot([psnr["q1"], psnr["q3"]], [y, y], color=colour, linewidth=5, alpha=0.4, solid_capstyle="round")
            panel.plot(psnr["median"], y, "o", color=colour, markersize=8)
            panel.text(psnr["median"], y + 0.2, f"{psnr['median']:.1f}", ha="center", fontsize=9, color=INK)
            if result["path"] == "official":
                panel.axvline(psnr["median"], color=PEER, linewidth=1, linestyle=":")
    crops = f"{settings['crops']} random crops of {settings['images']} photos; medians and quartiles"
    finish(figure, path, "How close to the exact path (from 224 px on: to Pillow's bicubic crop)", crops)


def _bar(panel: Any, y: int, result: dict[str, Any], ratio: float | None) -> None:
    rate, name = result["rate"], result["contestant"]
    if name == "limit":
        style = {"facecolor": "none", "edgecolor": LIMIT, "hatch": "///", "linewidth": 1.2}
    else:
        style = {"facecolor": OURS if name.startswith("ours") else PEER, "alpha": 1.0 if name == "ours" else 0.7}
    panel.barh(y, rate["median"], 0.66, **style)
    panel.plot([rate["q1"], rate["q3"]], [y, y], color=INK, linewidth=1.6)
    digits = 1 if (ratio or 0) > 1 else 2
    text = f"  {rate['median']:,.0f}" + ("" if ratio is None else f"   ours {ratio:.{digits}f}x")
    weight = "bold" if name == "ours" else "normal"
    panel.text(rate["q3"], y, text, va="center", fontsize=8.5, color=INK, fontweight=weight)


def panels_of(resolutions: list[int], labels: list[str], unit: str, width: float, row: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    size = (2.6 + width * len(resolutions), 1.5 + row * len(labels))
    figure, panels = pyplot.subplots(1, len(resolutions), figsize=size, sharey=True, squeeze=False)
    for panel, resolution in zip(panels[0], resolutions, strict=True):
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=8.5, colors=FAINT)
        panel.grid(axis="x", color="#e6e9ed")
        panel.set_axisbelow(True)
        panel.locator_params(axis="x", nbins=5)
        panel.set_yticks(range(len(labels)), labels)
        panel.set_ylim(-0.6, len(labels) - 0.4)
        panel.set_title(f"{resolution} px", loc="left", fontweight="bold", color=INK)
        panel.set_xlabel(unit, fontsize=9, color=FAINT)
    return figure, panels[0]


def finish(figure: Any, path: str, title: str, subtitle: str) -> None:
    from matplotlib import pyplot

    height = figure.get_figheight()
    figure.text(0.01, 1 - 0.12 / height, title, va="top", fontsize=13, fontweight="bold", color=INK)
    figure.text(0.01, 1 - 0.40 / height, subtitle, va="top", fontsize=9, color=FAINT)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.55 / height))
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
