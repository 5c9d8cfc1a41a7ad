"""Latency of a benchmark: medians with their intervals, beside the baseline."""

from ...runtime.bundle.bench_report import MEASURED, BenchPoint, BenchReport, Timing
from . import words
from .charts import Span, span_chart
from .content import Content
from .markup import RIGHT, Html, Markup, fold, join, section, table, tag


def latency(content: Content) -> Markup | None:
    """Return a chart for each point that was measured; None without a benchmark."""
    bench = content.bench
    if bench is None:
        return None
    machine, settings = bench.machine, bench.settings
    where = (
        machine.gpu.name
        if settings.device == "cuda" and machine.gpu
        else f"{machine.cpu}, {words.count(settings.threads, 'thread')}"
    )
    lead = f"Medians of {words.count(settings.rounds, 'interleaved round')} on {where}, with their 95 % bootstrap intervals."
    absent = [entrant for entrant in bench.entrants if entrant.state != MEASURED]
    return section(
        "latency", "Latency", lead,
        [_point(bench, point) for point in bench.points],
        fold("All figures", _table(bench), printed=True),
        fold(f"Not timed: {len(absent)}", tag("ul", [tag("li", f"{e.title}: {e.state}, {e.reason}") for e in absent])) if absent else None,
        tag("ul", [tag("li", note) for note in bench.notes]) if bench.notes else None,
    )  # fmt: skip


def is_own(bench: BenchReport, timing: Timing) -> bool:
    """Return whether a contender runs a file of the bundle, in any runtime."""
    return bench.entrant(timing.contender).title.startswith("attnexport")


def _point(bench: BenchReport, point: BenchPoint) -> Markup:
    sizes = ", ".join(f"{symbol} {n}" for symbol, n in point.sizes.items()) or "fixed shapes"
    spans = []
    for timing in point.timings:
        ratio = "" if timing.ratio is None else f"  {timing.ratio.value:.2f}×"
        kind = "base" if timing.contender == bench.settings.baseline else "ours" if is_own(bench, timing) else "theirs"
        median = timing.median
        name = bench.entrant(timing.contender).title
        spans.append(Span(name, median.value, median.low, median.high, f"{median.value:.3g} ms{ratio}", kind))
    chart = span_chart(spans, f"Latency at {sizes}")
    return tag("figure", tag("h3", sizes), tag("div", chart, class_="wide"))


def _table(bench: BenchReport) -> Markup:
    columns = [
        ("batch", RIGHT), ("contender", ""), ("precision", ""), ("median ms", RIGHT), ("interval", RIGHT), ("p95 ms", RIGHT),
        ("items/s", RIGHT), ("times as fast", RIGHT), ("peak memory", RIGHT), ("calls", RIGHT),
    ]  # fmt: skip
    rows: list[list[Html]] = []
    for point in bench.points:
        for timing in point.timings:
            entrant, median, ratio, memory = bench.entrant(timing.contender), timing.median, timing.ratio, timing.memory
            rows.append(
                [
                    str(point.batch), entrant.title, words.precision(entrant.precision), f"{median.value:.3f}",
                    f"{median.low:.3f} – {median.high:.3f}", f"{timing.p95:.3f}", f"{timing.per_second:,.0f}",
                    "–" if ratio is None else join(f"{ratio.value:.2f}× ", tag("small", f"{ratio.low:.2f} – {ratio.high:.2f}")),
                    "–" if memory is None or memory.peak is None else words.size(memory.peak), str(timing.rounds * timing.calls),
                ]
            )  # fmt: skip
    return table(columns, rows)
