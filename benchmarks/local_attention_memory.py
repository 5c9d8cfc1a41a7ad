"""Peak memory of one model's runs: a child process that holds nothing but NumPy and ONNX Runtime.

``python -m attnexport.benchmarks.local_attention_memory MODEL INPUT.npy`` prints bytes. The session and the input exist before the
count begins; the kernel's high-water mark is then set back (``/proc/self/clear_refs``), so that what loading and optimising took is
not in it, and what is counted is what the runs themselves touched: activations, the arena around them, and the output.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

RUNS = 3
"""ONNX Runtime allocates piece by piece in the first run and in one planned block from the second on, beside the pieces that its arena
keeps: that is what a process that serves the model holds."""


def peak_bytes(model: onnx.ModelProto, x: npt.NDArray[np.float32]) -> int | None:
    """Bytes that running ``model`` on ``x`` adds to a process at its peak; None where the kernel does not tell."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        file, feed = Path(folder) / "model.onnx", Path(folder) / "x.npy"
        onnx.save(model, file)
        np.save(feed, x)
        command = [sys.executable, "-m", "attnexport.benchmarks.local_attention_memory", str(file), str(feed)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def main() -> None:
    """The child: load, set the mark back, run, print what was added."""
    from attnexport.benchmarks.local_attention_measure import THREADS
    from attnexport.runtime.sessions.ort import OrtSession

    session, x = OrtSession(sys.argv[1], threads=THREADS), np.load(sys.argv[2])
    ctypes.CDLL(None).malloc_trim(0)  # what loading freed would otherwise be used again without being counted
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    for _ in range(RUNS):
        session.run({session.input_names[0]: x})
    print(_status("VmHWM") - before)


if __name__ == "__main__":
    main()
