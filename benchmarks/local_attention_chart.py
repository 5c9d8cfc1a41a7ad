"""The figures as a picture: how many times faster than the plain export each contender is, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnexport.benchmarks.local_attention_bars import mean_over
from attnexport.benchmarks.local_attention_row import COMPILE, EAGER, OURS, PLAIN, Row

INK = "#7d8590"
"""Readable on white and on black; the background is transparent."""
BAR, MARK = "#2f81f7", "#d98324"
OTHERS = {EAGER: ("o", "torch eager"), COMPILE: ("D", "torch.compile")}


def draw(rows: Sequence[Row]) -> Figure:
    """One bar a layer, in the suite's order, with its 95 % interval; a mark for each of the other contenders."""
    figure = Figure(figsize=(9.5, 1.4 + 0.27 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    ratios = [row.ratios[PLAIN] for row in rows]
    spread = [[r.value - min(r.low, r.value) for r in ratios], [max(r.high, r.value) - r.value for r in ratios]]
    axes.barh(
        places, [r.value for r in ratios], 0.62, color=BAR, xerr=spread,
        error_kw={"ecolor": INK, "elinewidth": 1}, label=f"{OURS} (95 % interval)",
    )  # fmt: skip
    for name, (marker, title) in OTHERS.items():
        found = [(_over_plain(row, name), place) for place, row in zip(places, rows, strict=True) if name in row.ratios]
        if found:
            axes.scatter(
                *zip(*found, strict=True), s=20, marker=marker, facecolors="none", edgecolors=MARK, label=title
            )
    for place, r in zip(places, ratios, strict=True):
        axes.annotate(
            f"{r.value:.1f}", (max(r.high, r.value), place), (4, 0), textcoords="offset points", va="center",
            fontsize=8, color=INK,
        )  # fmt: skip
    axes.axvline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_yticks(list(places), [_title(row) for row in rows], fontsize=8)
    axes.invert_yaxis()
    mean = mean_over(rows, PLAIN)
    axes.set_xlabel("times faster than the plain torch.onnx export, ONNX Runtime CPU, 2 threads")
    axes.set_title(f"Local-attention layers: geometric mean {mean:.1f}x", loc="left", fontsize=11)
    axes.legend(loc="lower right", fontsize=8, frameon=False, labelcolor=INK)
    _neutral(axes)
    return figure


def write_png(rows: Sequence[Row], path: Path) -> None:
    """Write the picture, background transparent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(rows).savefig(path, dpi=160, transparent=True)


def _over_plain(row: Row, name: str) -> float:
    return row.milliseconds[PLAIN] / row.milliseconds[name]


def _title(row: Row) -> str:
    batch, *sizes = row.shape
    return f"{row.family.replace('-', ' ')}  k={row.kernel}  {'×'.join(map(str, sizes))}" + (
        f"  batch {batch}" if batch > 1 else ""
    )


def _neutral(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.tick_params(colors=INK, left=False)
    axes.xaxis.label.set_color(INK)
    axes.title.set_color(INK)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=INK, alpha=0.25, linewidth=0.6)
    axes.margins(y=0.01)
