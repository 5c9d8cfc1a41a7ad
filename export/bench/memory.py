"""Measure the memory of one contender in a separate process. A crash of a library ends only that process.

The kernel's high-water mark is reset before each point (``/proc/self/clear_refs``), so it excludes loading and compiling.
"""

import ctypes
import json
import pickle
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...runtime import processes
from ...runtime.bundle.bench_report import MemoryUse
from .contenders import CONTENDERS, Feeds
from .measured_model import MeasuredModel
from .participants import message_of
from .rounds import free_memory
from .site import Site

RUNS = 3
"""ONNX Runtime allocates piece by piece in the first run. From the second run on it uses one planned block, beside the pieces
that its arena keeps, as a process that serves the model does."""
_MARK = Path("/proc/self/clear_refs")
_SCRIPT = f"from {__name__} import measure_job; measure_job(*sys.argv[1:])"


@dataclass(frozen=True)
class MemoryJob:
    """The input of the process: one contender at several points."""

    model: MeasuredModel
    device: str
    threads: int
    contender: str
    points: tuple[Feeds, ...]


def run_alone(job: MemoryJob) -> tuple[tuple[MemoryUse, ...], str]:
    """Run a contender in a separate process; return its memory at each point before a failure, and the failure or ``""``."""
    folder = job.model.folder
    input_file, result = folder / f"{job.contender}.job", folder / f"{job.contender}.jsonl"
    input_file.write_bytes(pickle.dumps(job))
    command = processes.python(_SCRIPT, str(input_file), str(result))
    process = processes.run(command, Path.cwd())  # the model and its factory may have relative paths
    lines = [json.loads(line) for line in result.read_text(encoding="utf-8").splitlines()] if result.exists() else []
    memories = tuple(MemoryUse(**line) for line in lines if "error" not in line)
    failure = next((line["error"] for line in lines if "error" in line), "")
    if (code := process.returncode) and not failure:
        last = next(iter(reversed(process.stderr.strip().splitlines())), "no message")
        failure = f"the process ended ({signal.Signals(-code).name if code < 0 else f'exit {code}'}): {last[:200]}"
    return memories, failure


def measure_job(job: str, result: str) -> None:
    """Write a line of JSON for each point when it is measured, and ``{"error": TEXT}`` if the contender fails."""
    # The parent process has just written this file.
    work: MemoryJob = pickle.loads(Path(job).read_bytes())
    with Path(result).open("w", encoding="utf-8") as stream:

        def write(content: dict[str, Any]) -> None:
            stream.write(json.dumps(content) + "\n")
            stream.flush()

        try:
            for memory in _measure(work):
                write(asdict(memory))
        except Exception as error:  # any error of a library is this contender's result
            write({"error": message_of(error)})


def _measure(job: MemoryJob) -> Iterator[MemoryUse]:
    """Yield the memory at each point."""
    site = Site(job.model, job.device, job.threads)
    free = free_memory(site.cuda) if site.device == "cuda" else 0
    runner = next(c for c in CONTENDERS if c.name == job.contender).open(site)
    for feeds in job.points:
        call = runner.call(feeds)
        _trim()
        before = _status("VmRSS")
        reset = _reset_peak()
        for _ in range(RUNS):
            call.run()
        if site.device == "cuda":
            site.cuda.synchronize()
        peak = _status("VmHWM") if reset else None
        added = peak - before if peak is not None and before is not None else None
        yield MemoryUse(peak, added, free - free_memory(site.cuda) if site.device == "cuda" else None)
    runner.close()


def _status(key: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)


def _reset_peak() -> bool:
    try:
        _MARK.write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True


def _trim() -> None:
    """Return freed memory to the system: the runs would reuse it without being counted."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
