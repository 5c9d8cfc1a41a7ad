"""One Triton process: it ends with this process, its log is read line by line, and it can be drained or killed."""

import contextlib
import re
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from .gate import GATE
from .log import Level, Log
from .process import Process

_LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+ (?P<level>[IWEF]) \d+ (?P<source>[^]]*)\] ?(?P<text>.*)")
_LEVELS: Mapping[str, Level] = {"I": "debug", "W": "warning", "E": "error", "F": "error"}
_NOISE = ("CudaDriverHelper", "CUDA driver version is insufficient", "no pinned memory pool", GATE)
"""Warnings and errors of Triton on every machine without a GPU, and the intended load failure of the gate."""
_SERVED = re.compile(r"^(?P<model>\S+) version (?P<version>\d+): (?P<file>\S+) on (?P<how>.+)$")
_DRAINED = re.compile(r"Timeout [1-9]\d*: Found 0 model versions that have in-flight inferences")
"""Every HTTP connection is closed and time is left: Triton has answered all requests that it accepted."""
_KEPT = 20


class Child(Process):
    """A running Triton. ``files`` has the file and session that each model reports, by name and version; ``drained`` is True once
    Triton reports that no request is left.

    ``folder`` is the working directory, which the Python of the models searches first, before
    PYTHONPATH.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, say: Log) -> None:
        self._say = say
        self._errors: deque[str] = deque(maxlen=_KEPT)
        self.files: dict[tuple[str, str], tuple[str, str]] = {}
        self.drained = False
        super().__init__(command, environment, folder)

    def how_it_ended(self) -> str:
        """``ended with exit code 1`` or ``was killed by SIGKILL``, with the last error in the log."""
        ended = super().how_it_ended()
        return f"{ended}: {self._errors[-1]}" if self._errors else ended

    def drain(self) -> None:
        """Ask Triton to accept no new requests, answer the others, and end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def workers(self) -> dict[int, Path]:
        """The running processes of the Python backend, with the ``model.py`` of each."""
        workers = {}
        for thread in Path(f"/proc/{self.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a process may end meanwhile
                for pid in map(int, thread.read_text().split()):
                    code = _loaded_by(pid)
                    if code is not None:
                        workers[pid] = code
        return workers

    def hear(self, line: str) -> None:
        """Log a line of Triton or of a model. Triton's tables at the start are left out."""
        match = _LINE.match(line)
        if match is None:
            if line.strip() and line[0] not in "|+":
                self._say("info", "said", line)
            return
        text, _, trace = match["text"].strip('"').replace("\\n", " ").strip().partition("  At:")
        level = _LEVELS[match["level"]]
        if any(noise in text for noise in _NOISE):
            level = "debug"
        elif level == "debug" and match["source"].startswith("model.py:"):
            level = "info"  # a message of our own model
        if level == "error":
            self._errors.append(text)
        self.drained = self.drained or _DRAINED.search(text) is not None
        if served := _SERVED.match(text):
            self.files[served["model"], served["version"]] = (served["file"], served["how"])
        if text:
            self._say(level, "triton", text)
        if trace:
            self._say("debug", "trace", trace)


def _loaded_by(pid: int) -> Path | None:
    """The ``model.py`` of a process of the Python backend; None for another process or one that has ended."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    running = state not in "ZX" and Path(words[0]).name == "triton_python_backend_stub"
    return Path(words[1]) if running else None
