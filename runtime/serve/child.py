"""One Triton process: it ends with this process, its log is read line by line, and it can be drained or killed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import launch
from .gate import GATE
from .log import Level, Log

_LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+ (?P<level>[IWEF]) \d+ (?P<source>[^]]*)\] ?(?P<text>.*)")
_LEVELS: Mapping[str, Level] = {"I": "debug", "W": "warning", "E": "error", "F": "error"}
_NOISE = ("CudaDriverHelper", "CUDA driver version is insufficient", "no pinned memory pool", GATE)
"""Warnings and errors of Triton on every machine without a GPU, and the intended load failure of the gate."""
_SERVED = re.compile(r"^(?P<model>\S+) version (?P<version>\d+): (?P<file>\S+) on (?P<how>.+)$")
_DRAINED = re.compile(r"Timeout [1-9]\d*: Found 0 model versions that have in-flight inferences")
"""Every HTTP connection is closed and time is left: Triton has answered all requests that it accepted."""
_KEPT = 20


class Child:
    """A running Triton. ``files`` has the file and session that each model reports, by name and version; ``drained`` is True once
    Triton reports that no request is left.

    Start it in the main thread: the kernel kills the process when the thread that started it ends.
    ``folder`` is the working directory, which the Python of the models searches first, before
    PYTHONPATH.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, say: Log) -> None:
        self._say = say
        self._errors: deque[str] = deque(maxlen=_KEPT)
        self.files: dict[tuple[str, str], tuple[str, str]] = {}
        self.drained = False
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *command],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # this process handles Ctrl-C
        )
        self.pid = self._process.pid
        self._pump = threading.Thread(target=self._listen, name="triton-log", daemon=True)
        self._pump.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def how_it_ended(self) -> str:
        """``ended with exit code 1`` or ``was killed by SIGKILL``, with the last error in the log."""
        code = self._process.wait()
        self.kill()  # processes of its models keep its output open
        ended = f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
        return f"{ended}: {self._errors[-1]}" if self._errors else ended

    def drain(self) -> None:
        """Ask Triton to accept no new requests, answer the others, and end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> bool:
        """Whether the process ends within the time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Kill the process and the processes of its models."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._pump.join(timeout=5)

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

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._hear(line.rstrip())

    def _hear(self, line: str) -> None:
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
