"""Attention maps of one sample, in PyTorch and in the export, drawn over the image if the input is one."""

from collections.abc import Mapping

import numpy as np

from ...errors import AttnexportError
from ...runtime.inputs.picture import shrink
from ...runtime.metrics import is_image
from ...runtime.show.map_panels import Panel, panels
from ..verify.shown import GoldenOutputs
from . import show_values, words
from .content import Graph, pixels
from .markup import Html, Markup, code, fold, join, table, tag
from .png import grey, heat, png

SHOWN = 4
"""Maps shown at first; the others are folded."""
MOST = 24
"""Most maps drawn; each is a picture for PyTorch and for every variant."""


def attention(graph: Graph, shown: GoldenOutputs) -> Markup | None:
    """Return a row for each map of the first sample; None for a bundle without maps."""
    records = graph.manifest.attention[:MOST]
    if not records:
        return None
    forms = [ran for ran in shown.variants if ran.outputs]
    columns = [("map", ""), ("PyTorch, FP64", ""), *((words.stage(ran.stage), "") for ran in forms)]
    title = tag("h3", "Attention maps of the first sample")
    sides: list[Mapping[str, np.ndarray]] = [shown.case.reference, *(ran.outputs for ran in forms)]
    rows: list[list[Html]] = []
    image = _image(graph, shown)
    if image is None:
        for record in records:
            reference = shown.case.reference[record.output][0]
            references = [None, *(reference for _ in forms)]
            cells = [show_values.field(s[record.output][0], r) for s, r in zip(sides, references, strict=True)]
            name = code(record.output.partition(".")[2] or record.output)
            rows.append([join(name, tag("div", record.type, class_="note")), *cells])
    else:
        try:
            drawn = [panels(image, records, side)[1:] for side in sides]
        except AttnexportError as error:
            return join(title, tag("p", error.problem, class_="note off"))
        for row in zip(*drawn, strict=True):
            rows.append([_title(row[0]), *(overlay(panel, row[0]) for panel in row)])
    first, rest = (table(columns, part, class_="gallery") for part in (rows[:SHOWN], rows[SHOWN:]))
    return join(title, first, fold(f"{len(rows) - SHOWN} more maps", rest) if len(rows) > SHOWN else None)


def _image(graph: Graph, shown: GoldenOutputs) -> np.ndarray | None:
    first = graph.manifest.inputs[0]
    return pixels(graph, shown.case.feeds[first.name][0]) if is_image(first) else None


def _title(panel: Panel) -> Markup:
    name, _, kind = panel.title.partition(" · ")
    return join(code(name), tag("div", kind, class_="note"), tag("div", panel.caption, class_="note"))


def overlay(panel: Panel, reference: Panel) -> Markup:
    """Draw a panel: the map over the image, a matrix, or bars. ``reference``: the panel whose range of colours it uses."""
    if panel.bars is not None:
        return _bars(panel.bars, reference.bars if reference.bars is not None else panel.bars)
    if panel.matrix is not None:
        scale = reference.matrix if reference.matrix is not None else panel.matrix
        return tag("img", src=png(heat(shrink(panel.matrix), *_range(scale))), class_="picture", alt=panel.title)
    height, width = 150 * panel.background.shape[0] / panel.background.shape[1], 150.0
    parts: list[Html] = []
    if panel.heat is None:
        parts.append(_layer(grey(shrink(panel.background), 0, 1), (0.0, 1.0, 1.0, 0.0), width, height, 1.0))
    else:
        scale = reference.heat if reference.heat is not None else panel.heat
        # Reduce the contrast, so that the brightness of the image is not mistaken for that of the map.
        ground = grey(shrink(0.15 + 0.6 * panel.background.mean(2)), 0, 1)
        parts.append(_layer(ground, (0.0, 1.0, 1.0, 0.0), width, height, 1.0))
        parts.append(_layer(heat(shrink(panel.heat), *_range(scale)), panel.extent, width, height, 0.65))
    for line in panel.lines:
        points = " ".join(f"{x * width:.1f},{y * height:.1f}" for x, y in line)
        parts.append(tag("polyline", points=points, fill="none", stroke="#2ee6d6", stroke_width=1.3))
    if panel.mark is not None:
        x, y = panel.mark
        parts.append(tag("circle", cx=x * width, cy=y * height, r=3.5, fill="#2ee6d6", stroke="#000", stroke_width=0.6))
    left, top, right, bottom = _view(panel)
    box = f"{left * width:.1f} {top * height:.1f} {(right - left) * width:.1f} {(bottom - top) * height:.1f}"
    return tag("svg", parts, viewBox=box, class_="overlay", role="img", aria_label=panel.title)


def _range(values: np.ndarray) -> tuple[float, float]:
    """The range of the values, widened for a map that hardly varies."""
    middle, reach = (values.max() + values.min()) / 2, (values.max() - values.min()) / 2
    reach = max(reach, 0.025 * abs(middle), 1e-12)
    return float(middle - reach), float(middle + reach)


def _view(panel: Panel) -> tuple[float, float, float, float]:
    """The visible part of the plane: the image, and lines that leave it by up to half its size."""
    low, high = np.zeros(2), np.ones(2)
    for line in panel.lines:
        low, high = np.minimum(low, line.min(0) - 0.03), np.maximum(high, line.max(0) + 0.03)
    low, high = np.maximum(low, -0.5), np.minimum(high, 1.5)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _layer(
    pixels: np.ndarray, extent: tuple[float, float, float, float], width: float, height: float, opacity: float
) -> Markup:
    left, right, bottom, top = extent
    return tag(
        "image", href=png(pixels), x=left * width, y=top * height, width=(right - left) * width, height=(bottom - top) * height,
        preserveAspectRatio="none", opacity=opacity,
    )  # fmt: skip


def _bars(values: np.ndarray, scale: np.ndarray) -> Markup:
    low, high = min(0.0, float(scale.min())), max(float(scale.max()), 1e-12)
    step = 150 / len(values)
    parts = []
    for i, value in enumerate(values.tolist()):
        tall = 90 * (min(max(value, low), high) - low) / (high - low)
        parts.append(tag("rect", x=i * step, y=92 - tall, width=max(step - 0.4, 0.3), height=tall, class_="ours"))
    return tag(
        "svg", parts, viewBox="0 0 150 94", class_="overlay chart", role="img", aria_label="weight of each channel"
    )
