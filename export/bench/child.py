"""Run one contender in a separate process and measure its memory.

``python -m attnexport.export.bench.child JOB RESULT``, started by memory.py. A crash of a library ends only this process.
The kernel's high-water mark is reset before each point (``/proc/self/clear_refs``), so it excludes loading and compiling.
"""

from __future__ import annotations

import ctypes
import json
import pickle
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .contenders import CONTENDERS, Contender, Feeds
from .memory import MemoryJob
from .participants import message_of
from .site import Site

RUNS = 3
"""ONNX Runtime allocates piece by piece in the first run. From the second run on it uses one planned block, beside the pieces
that its arena keeps, as a process that serves the model does."""
_MARK = Path("/proc/self/clear_refs")


def measure(contender: Contender, site: Site, points: Sequence[Feeds]) -> Iterator[dict[str, int | None]]:
    """Yield the peak, the memory added by the runs, and the GPU memory in use, in bytes, for each point."""
    free = _free_on_device(site)
    runner = contender.open(site)
    for feeds in points:
        call = runner.call(feeds)
        _trim()
        before = _status("VmRSS")
        reset = _reset_peak()
        for _ in range(RUNS):
            call.run()
        if site.device == "cuda":
            site.cuda.synchronize()
        peak = _status("VmHWM")
        added = peak - before if reset and peak is not None and before is not None else None
        free_now = _free_on_device(site)
        device = free - free_now if free is not None and free_now is not None else None
        yield {"peak": peak if reset else None, "added": added, "device": device}
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


def _free_on_device(site: Site) -> int | None:
    if site.device != "cuda":
        return None
    from .events import free_memory

    return free_memory(site.cuda)


def main(job: Path, result: Path) -> None:
    """Write a line of JSON for each point when it is measured, and ``{"error": TEXT}`` if the contender fails."""
    # The parent process has just written this file.
    work: MemoryJob = pickle.loads(job.read_bytes())
    contender = next(c for c in CONTENDERS if c.name == work.contender)
    with result.open("w", encoding="utf-8") as stream:

        def write(content: dict[str, Any]) -> None:
            stream.write(json.dumps(content) + "\n")
            stream.flush()

        try:
            for point in measure(contender, Site(work.model, work.device, work.threads), work.points):
                write(point)
        except Exception as error:  # any error of a library is this contender's result
            write({"error": message_of(error)})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
