"""One contender in a process of its own: whether it runs at all, and the memory that it takes.

``python -m attnexport.export.bench.child JOB RESULT``; started by memory.py. A crash of a library ends this process only. The kernel's
high-water mark is set back before each point (``/proc/self/clear_refs``), so that what loading and compiling took is not in it.
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
from .participants import said
from .site import Site

RUNS = 3
"""ONNX Runtime allocates piece by piece in the first run and in one planned block from the second on, beside the pieces that its arena
keeps: that is what a process that serves the model holds."""
_MARK = Path("/proc/self/clear_refs")


def measure(contender: Contender, site: Site, points: Sequence[Feeds]) -> Iterator[dict[str, int | None]]:
    """Peak, what the runs added, and what was taken of the GPU, in bytes, point by point."""
    free = _free_on_device(site)
    runner = contender.open(site)
    for feeds in points:
        call = runner.call(feeds)
        _trim()
        before = _status("VmRSS")
        marked = _set_back()
        for _ in range(RUNS):
            call.run()
        if site.device == "cuda":
            site.cuda.synchronize()
        peak = _status("VmHWM")
        added = peak - before if marked and peak is not None and before is not None else None
        left = _free_on_device(site)
        device = free - left if free is not None and left is not None else None
        yield {"peak": peak if marked else None, "added": added, "device": device}
    runner.close()


def _status(key: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)


def _set_back() -> bool:
    try:
        _MARK.write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True


def _trim() -> None:
    """What loading freed would otherwise be used again without being counted."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _free_on_device(site: Site) -> int | None:
    if site.device != "cuda":
        return None
    from .events import free_memory

    return free_memory(site.cuda)


def main(job: Path, result: Path) -> None:
    """Write a line of JSON for each point as soon as it is measured, and ``{"error": TEXT}`` where it ends too soon."""
    # The file was written a moment ago by the process that started this one.
    work: MemoryJob = pickle.loads(job.read_bytes())
    contender = next(one for one in CONTENDERS if one.name == work.contender)
    with result.open("w", encoding="utf-8") as stream:

        def say(content: dict[str, Any]) -> None:
            stream.write(json.dumps(content) + "\n")
            stream.flush()

        try:
            for point in measure(contender, Site(work.model, work.device, work.threads), work.points):
                say(point)
        except Exception as error:  # whatever a library raises is this contender's result
            say({"error": said(error)})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
