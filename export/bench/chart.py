"""A benchmark as a PNG: bars of the latency, or lines of latency and throughput over the batch."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import MissingBackendError
from ...runtime.bundle.bench_report import BenchReport, Timing
from ...runtime.files.write import new_file
from .table import milliseconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#7d8590"
"""Readable on white and on black; the background is transparent."""
COLOURS = {
    "eager": "#8b949e", "compile": "#a371f7", "plain": "#d98324", "attnexport": "#2f81f7", "openvino": "#39c5cf",
    "tensorrt": "#3fb950",
}  # fmt: skip
OTHER = "#f778ba"


def require_matplotlib() -> None:
    """Raise MissingBackendError if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingBackendError(
            "a chart needs matplotlib, which is not installed", "pip install 'attnexport[bench]', or omit --png"
        )


def write_png(report: BenchReport, path: Path) -> None:
    """Write the chart with a transparent background. Raises MissingBackendError without matplotlib."""
    require_matplotlib()
    with new_file(path) as file:
        draw(report).savefig(file, dpi=160, transparent=True)


def draw(report: BenchReport) -> "Figure":
    """Draw bars for one point. For several, draw lines over the batch: latency left, items per second right."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    points = [point for point in report.points if point.timings]
    if len(points) == 1:
        timings = points[0].timings
        figure = Figure(figsize=(8, 1.5 + 0.4 * len(timings)), layout="constrained")
        _bars(figure.subplots(), report, timings)
        figure.suptitle(f"{report.name}: milliseconds, batch {points[0].batch}", fontsize=11, color=INK)
        return figure
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in dict.fromkeys(timing.contender for point in points for timing in point.timings):
        curve = [(point.batch, timing) for point in points for timing in point.timings if timing.contender == name]
        batches = [batch for batch, _ in curve]
        style: dict[str, Any] = {"color": COLOURS.get(name, OTHER), "marker": "o", "markersize": 4, "linewidth": 1.6}
        left.plot(batches, [timing.median.value for _, timing in curve], label=report.entrant(name).title, **style)
        left.fill_between(
            batches, [t.median.low for _, t in curve], [t.median.high for _, t in curve], color=style["color"], alpha=0.18, linewidth=0
        )  # fmt: skip
        right.plot(batches, [timing.per_second for _, timing in curve], **style)
    for axes, title in ((left, "median latency, ms (95 % interval)"), (right, "items per second")):
        axes.set_xscale("log", base=2)
        axes.set_xticks([point.batch for point in points], [str(point.batch) for point in points])
        axes.minorticks_off()
        axes.set_xlabel("batch", fontsize=9, color=INK)
        axes.set_title(title, fontsize=10, color=INK)
        _neutral(axes)
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    left.yaxis.set_minor_locator(NullLocator())
    if report.target is not None:
        left.axhline(report.target.milliseconds, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    right.set_ylim(bottom=0)
    figure.suptitle(report.name, fontsize=11, color=INK)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False, labelcolor=INK)
    return figure


def _bars(axes: "Axes", report: BenchReport, timings: tuple[Timing, ...]) -> None:
    places = range(len(timings))
    values = [timing.median.value for timing in timings]
    axes.barh(places, values, 0.6, color=[COLOURS.get(timing.contender, OTHER) for timing in timings])
    axes.hlines(places, [t.median.low for t in timings], [t.median.high for t in timings], color=INK, linewidth=1.2)
    most = max(timing.median.high for timing in timings)
    for place, timing in zip(places, timings, strict=True):
        times = f"  {timing.ratio.value:.2f}x" if timing.ratio is not None else ""
        axes.text(
            timing.median.high + 0.012 * most, place, f"{milliseconds(timing.median.value)}{times}", va="center", fontsize=8, color=INK
        )  # fmt: skip
    axes.set_xlim(0, 1.22 * most)
    axes.set_yticks(places, [report.entrant(timing.contender).title for timing in timings], fontsize=8)
    axes.invert_yaxis()
    _neutral(axes)


def _neutral(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=8)
    axes.set_axisbelow(True)
    axes.grid(color=INK, alpha=0.25, linewidth=0.6)
