"""Charts as inline SVG. Colours are CSS classes, so that they follow the page's theme."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from . import words
from .markup import Html, Markup, tag

LEFT, TOP, BOTTOM = 64, 22, 46


@dataclass(frozen=True)
class Dot:
    """One stage's relative error and PyTorch's at the same precision, with a ``label``; ``kind``: its CSS class."""

    stage: str
    error: float
    torch_error: float
    label: str
    title: str
    kind: str


def stage_chart(tracks: Sequence[Sequence[Dot]], stages: Sequence[str], title: str, width: int = 760) -> Markup:
    """Draw errors by stage on a logarithmic axis: a line for each track (one output of one variant), dashes for PyTorch's error."""
    height = 290 if width > 600 else 250
    values = [v for track in tracks for dot in track for v in (dot.error, dot.torch_error) if 0 < v < math.inf]
    low = math.floor(math.log10(min(values, default=1e-8)) - 0.4)
    high = max(math.ceil(math.log10(max(values, default=1e-1)) + 0.15), low + 2)
    step = (width - LEFT - 20) / max(1, len(stages))
    across = {stage: LEFT + step * (i + 0.5) for i, stage in enumerate(stages)}

    def down(value: float) -> float:
        place = high if value == math.inf or value != value else math.log10(value) if value > 0 else low
        share = (min(max(place, low), high) - low) / (high - low)
        return height - BOTTOM - share * (height - BOTTOM - TOP)

    parts: list[Html] = []
    for decade in range(low, high + 1):
        y = down(10.0**decade)
        parts.append(tag("line", x1=LEFT, x2=width - 12, y1=y, y2=y, class_="grid"))
        if (decade - low) % max(1, round((high - low) / 7)) == 0:
            label = "1" if decade == 0 else f"10{words.superscript(decade)}"
            parts.append(tag("text", label, x=LEFT - 10, y=y + 4, class_="tick end"))
    for stage, x in across.items():
        parts.append(tag("text", stage, x=x, y=height - BOTTOM + 22, class_="tick mid"))
    for track in tracks:
        line = " ".join(f"{across[dot.stage]:.1f},{down(dot.error):.1f}" for dot in track)
        parts.append(tag("polyline", points=line, class_="line"))
    for dot in dict.fromkeys(dot for track in tracks for dot in track):  # variants share their first stages
        parts += _dot(dot, across[dot.stage], down(dot.error), down(dot.torch_error), min(30.0, step * 0.3))
    return tag("svg", parts, viewBox=f"0 0 {width} {height}", class_="chart", role="img", aria_label=title)


def _dot(dot: Dot, x: float, y: float, torch_y: float, reach: float) -> list[Html]:
    return [
        tag("line", x1=x - reach, x2=x + reach, y1=torch_y, y2=torch_y, class_="own"),
        tag("circle", tag("title", dot.title), cx=x, cy=y, r=4.5, class_=f"dot {dot.kind}"),
        # The label is on the side away from PyTorch's mark.
        tag("text", dot.label, x=x, y=y + (20 if torch_y < y else -11), class_="label mid") if dot.label else None,
    ]


@dataclass(frozen=True)
class Span:
    """A bar with its interval: ``low`` <= ``value`` <= ``high``; ``kind``: its CSS class."""

    name: str
    value: float
    low: float
    high: float
    label: str
    kind: str


def span_chart(spans: Sequence[Span], title: str, width: int = 760) -> Markup:
    """Draw horizontal bars from zero with whiskers, names to the left and figures to the right."""
    row, left = 34, min(320.0, max(110.0, 24 + 7.2 * max((len(span.name) for span in spans), default=0)))
    height = row * len(spans) + 12
    most = max((span.high for span in spans), default=1.0) or 1.0
    scale = (width - left - 150) / most
    parts: list[Html] = []
    for i, span in enumerate(spans):
        y = 6 + row * i
        end, low, high = (left + scale * v for v in (span.value, span.low, span.high))
        middle = y + row / 2
        parts += [
            tag("text", span.name, x=left - 12, y=middle + 4.5, class_="name end"),
            tag("rect", tag("title", span.label), x=left, y=y + 7, width=max(end - left, 1.0), height=row - 14, rx=3, class_=span.kind),
            tag("line", x1=low, x2=high, y1=middle, y2=middle, class_="whisker"),
            tag("text", span.label, x=high + 10, y=middle + 4.5, class_="label"),
        ]  # fmt: skip
    parts.append(tag("line", x1=left, x2=left, y1=2, y2=height - 2, class_="axis"))
    return tag("svg", parts, viewBox=f"0 0 {width} {height}", class_="chart", role="img", aria_label=title)
