"""The figures as a picture: how many times faster than the plain export each contender is, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnexport.benchmarks.local_attention_bars import mean_over
from attnexport.benchmarks.local_attention_row import COMPILE, EAGER, OURS, PLAIN, Row

INK = "#7d8590"
"""Readable on white and on black; the background is transparent."""
BAR, MARK = "#2f81f7", "#d98324"
OTHERS = {EAGER: ("o", "torch eager"), COMPILE: ("D", "torch.compile")}


def draw(rows: Sequence[Row]) -> Figure:
    """One bar a layer, in the suite's order, with its 95 % interval and its figure; a mark for each of the other contenders."""
    figure = Figure(figsize=(9.5, 1.6 + 0.26 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))
    ratios = [row.ratios[PLAIN] for row in rows]
    values = np.array([r.value for r in ratios])
    axes.barh(places, values, 0.6, color=BAR, label=f"{OURS} (95 % interval)")
    axes.hlines(places, [r.low for r in ratios], [r.high for r in ratios], color=INK, linewidth=1.2)
    shown = [values.max()]
    for name, (marker, title) in OTHERS.items():
        found = np.array([row.milliseconds[PLAIN] / row.milliseconds.get(name, math.inf) for row in rows])
        if found.any():
            drawn = found > 0
            axes.scatter(
                found[drawn],
                places[drawn],
                s=26,
                color=MARK,
                marker=marker,
                linewidths=0.5,
                edgecolors=INK,
                zorder=3,
                label=title,
            )
            shown.append(found.max())
    right = axes.get_yaxis_transform()
    for place, ratio in enumerate(ratios):
        axes.text(1.06, place, f"{ratio.value:.1f}x", transform=right, ha="right", va="center", fontsize=8, color=INK)
    axes.set_xlim(0, 1.08 * max(shown))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(places, [_title(row) for row in rows], fontsize=8)
    axes.axvline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlabel(
        "times faster than the plain torch.onnx export on ONNX Runtime, CPU, 2 threads", fontsize=9, color=INK
    )
    axes.set_title(
        f"Local-attention layers: geometric mean {mean_over(rows, PLAIN):.1f}x", fontsize=11, color=INK, pad=24
    )
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=8, frameon=False, labelcolor=INK)
    _neutral(axes)
    return figure


def write_png(rows: Sequence[Row], path: Path) -> None:
    """Write the picture, background transparent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(rows).savefig(path, dpi=160, transparent=True)


def _title(row: Row) -> str:
    batch, *sizes = row.shape
    return f"{row.family.replace('-', ' ')}  k={row.kernel}  {'×'.join(map(str, sizes))}" + (
        f"  batch {batch}" if batch > 1 else ""
    )


def _neutral(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.tick_params(colors=INK, left=False, labelsize=8)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=INK, alpha=0.25, linewidth=0.6)
