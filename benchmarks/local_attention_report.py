"""The figures as a table for a terminal, and as JSON."""

from __future__ import annotations

import datetime
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from attnexport.benchmarks.local_attention_bars import bars
from attnexport.benchmarks.local_attention_measure import THREADS
from attnexport.benchmarks.local_attention_row import COMPILE, EAGER, OURS, PLAIN, Row


def timings(rows: Sequence[Row]) -> Table:
    """Times and ratios: how many times faster attnexport is, with the 95 % interval against the plain export."""
    table = Table(box=None, title="median ms, and how many times faster attnexport is", title_justify="left")
    table.add_column("layer")
    for name in ("plain", "eager", "compile", OURS, "vs plain", "95 %", "vs eager", "vs compile", "of limit"):
        table.add_column(name, justify="right")
    for row in rows:
        interval = row.ratios[PLAIN]
        table.add_row(
            row.layer,
            *(_number(row.milliseconds.get(name)) for name in (PLAIN, EAGER, COMPILE, OURS)),
            Text(str(interval), style="bold"),
            f"{interval.low:.2f}-{interval.high:.2f}",
            *(str(row.ratios.get(name, "-")) for name in (EAGER, COMPILE)),
            f"{row.of_limit:.0%}",
        )
    return table


def costs(rows: Sequence[Row]) -> Table:
    """What else there is to know: arithmetic, nodes, build time, memory, and where attnexport's time goes."""
    table = Table(box=None, title="what it takes, plain -> attnexport", title_justify="left")
    table.add_column("layer")
    for name in ("MFLOP", "limit ms", "nodes", "build s", "peak MiB"):
        table.add_column(name, justify="right")
    table.add_column("lowered by")
    table.add_column("where the time goes")
    for row in rows:
        peak = (
            f"{row.peak_mib[PLAIN]:.0f} -> {row.peak_mib[OURS]:.0f} ({row.memory_ratio:.2f}x)" if row.peak_mib else "-"
        )
        table.add_row(
            row.layer,
            f"{row.mflop:.0f}",
            f"{row.limit_ms:.2f}",
            f"{row.nodes[PLAIN]} -> {row.nodes[OURS]}",
            f"{row.build_seconds[PLAIN]:.1f} -> {row.build_seconds[OURS]:.1f}",
            peak,
            ", ".join(f"{n} {name}" for name, n in row.rewrites.items()),
            ", ".join(f"{op} {share:.0%}" for op, share in row.operators.items()),
        )
    return table


def show(rows: Sequence[Row], console: Console) -> None:
    """Both tables, what failed, and the bars."""
    said = [Text(f"{row.layer}: {note}", style="yellow") for row in rows for note in row.notes]
    said += [
        Text(f"{row.layer}: {precision} engine: {engine}", style="" if engine.good else "red")
        for row in rows
        for precision, engine in row.engines.items()
    ]
    styles = {True: "green", False: "red", None: "dim"}
    verdicts = [Text(str(bar), style=styles[bar.reached]) for bar in bars(rows)]
    console.print(Group(timings(rows), Text(), costs(rows), Text(), *said, *verdicts))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """What the JSON holds: the circumstances, the bars, the rows."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "threads": THREADS,
        "cpu": _cpu(),
        "versions": _versions(),
        "bars": [
            {"what": b.what, "asked": b.asked, "measured": b.measured and round(b.measured, 3), "reached": b.reached}
            for b in bars(rows)
        ],
        "layers": [row.to_json() for row in rows],
    }


def write_json(rows: Sequence[Row], path: Path) -> None:
    """Write :func:`document`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(rows), indent=1) + "\n", encoding="utf-8")


def _versions() -> dict[str, str]:
    known = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "onnx": onnx.__version__,
    }
    rtx = sys.modules.get("tensorrt_rtx")  # imported where engines were built
    return known if rtx is None else {**known, "tensorrt_rtx": rtx.__version__}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
