"""A benchmark as tables for a terminal."""

from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.table import Table

from ...runtime.bundle.bench_report import ABSENT, BenchPoint, BenchReport, GpuState, Interval, LatencyTarget, MemoryUse
from ...runtime.show.terminal import inert, size

GOOD, BAD = "green", "red"


def tables(report: BenchReport) -> Iterator[RenderableType]:
    """Yield a line on the circumstances, a table for each point, the target, the excluded contenders, and the notes."""
    yield circumstances(report)
    for point in report.points:
        yield ""
        yield _point(report, point)
    if report.target is not None:
        yield ""
        yield _target(report, report.target)
    for entrant in report.entrants:
        if entrant.reason:
            style = "dim" if entrant.state == ABSENT else BAD
            yield f"[{style}]{entrant.title}: {entrant.state}: {inert(entrant.reason)}[/]"
    for note in report.notes:
        yield f"[yellow]{inert(note)}[/]"


def circumstances(report: BenchReport) -> str:
    """Return one line: the model, the machine, and how it was timed."""
    machine, settings = report.machine, report.settings
    threads = f"{settings.threads} thread{'s' if settings.threads > 1 else ''}"
    where = f"{machine.cpu}, {threads}" if machine.gpu is None else f"{machine.gpu.name} ({_gpu(machine.gpu)})"
    tf32 = "allowed" if settings.tf32 else "off"
    clock = "CUDA events, inputs and outputs on the GPU" if settings.clock == "cuda-events" else "wall clock"
    return f"[bold]{inert(report.name)}[/] on {inert(where)}; interleaved rounds, {clock}, TF32 {tf32}"


def _gpu(gpu: GpuState) -> str:
    facts = [f"compute capability {gpu.compute_capability}", f"driver {gpu.driver}"]
    if gpu.clock is not None:
        limit = f" of {gpu.clock_limit:.0f}" if gpu.clock_limit is not None else ""
        facts.append(f"SM clock {_range(gpu.clock)}{limit} MHz")
    if gpu.memory_clock is not None:
        facts.append(f"memory {_range(gpu.memory_clock)} MHz")
    if gpu.power is not None:
        limit = f" of {gpu.power_limit:.0f}" if gpu.power_limit is not None else ""
        facts.append(f"{_range(gpu.power)}{limit} W")
    if gpu.temperature is not None:
        facts.append(f"{_range(gpu.temperature)} C")
    return ", ".join([*facts, *(f"held back: {reason}" for reason in gpu.limits)])


def _range(value: Interval) -> str:
    low, high = f"{value.low:.0f}", f"{value.high:.0f}"
    return low if low == high else f"{low}-{high}"


def _point(report: BenchReport, point: BenchPoint) -> Table:
    baseline = report.settings.baseline
    sizes = ", ".join(f"{name}={size}" for name, size in point.sizes.items()) or "fixed shapes"
    with_memory = any(timing.memory is not None for timing in point.timings)
    columns = ["median ms", "95 % interval", "p95 ms", "items/s"]
    columns += [f"vs {baseline}", "95 %"] if baseline is not None else []
    columns += ["peak memory"] if with_memory else []
    table = _new(f"{sizes}, {min((t.rounds for t in point.timings), default=0)} rounds", columns)
    fastest = min((timing.median.value for timing in point.timings), default=0.0)
    for timing in point.timings:
        median = milliseconds(timing.median.value)
        cells = [
            inert(report.entrant(timing.contender).title),
            f"[bold]{median}[/]" if timing.median.value == fastest else median,
            f"{milliseconds(timing.median.low)}-{milliseconds(timing.median.high)}",
            milliseconds(timing.p95),
            rate(timing.per_second),
        ]
        if baseline is not None:
            cells += _ratio(timing.ratio, itself=timing.contender == baseline)
        if with_memory:
            cells.append(_memory(timing.memory))
        table.add_row(*cells)
    return table


def _ratio(ratio: Interval | None, *, itself: bool) -> list[str]:
    """The ratio is coloured only if its whole interval is on one side of 1."""
    if ratio is None or itself:
        return ["-" if ratio is None else "1.00x", ""]
    style = GOOD if ratio.low > 1 else BAD if ratio.high < 1 else ""
    text = f"{ratio.value:.2f}x"
    return [f"[{style}]{text}[/]" if style else text, f"{ratio.low:.2f}-{ratio.high:.2f}"]


def _memory(memory: MemoryUse | None) -> str:
    if memory is None or memory.peak is None:
        return "-"
    device = f", GPU {size(memory.device)}" if memory.device is not None else ""
    return f"{size(memory.peak)}{device}"


def _target(report: BenchReport, target: LatencyTarget) -> Table:
    title = f"largest batch with {target.statistic} within {target.milliseconds:g} ms"
    table = _new(title, ("batch", "median ms", "p95 ms", "items/s"))
    best = max((c.per_second for c in target.capacities if c.batch is not None), default=0.0)
    for capacity in target.capacities:
        batch = f"[{BAD}]none[/]" if capacity.batch is None else f"{capacity.batch}{' (all)' if capacity.most else ''}"
        throughput = rate(capacity.per_second)
        if capacity.batch is not None and capacity.per_second == best:
            throughput = f"[bold]{throughput}[/]"
        title = inert(report.entrant(capacity.contender).title)
        table.add_row(title, batch, milliseconds(capacity.median), milliseconds(capacity.p95), throughput)
    return table


def _new(title: str, figures: Iterable[str]) -> Table:
    table = Table(
        box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), title=inert(title), title_justify="left",
        title_style="italic",
    )  # fmt: skip
    table.add_column("contender", no_wrap=True)
    for column in figures:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def milliseconds(value: float) -> str:
    """Format a time with three significant digits."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def rate(value: float) -> str:
    """Format items per second with three or four digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
