"""A process that ends with this one, and whose output is read line by line: Triton, and the front before it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import launch


class Process(ABC):
    """A running program; ``hear`` gets each line of its output.

    Start it in the main thread: the kernel kills the process when the thread that started it ends.
    ``folder`` is its working directory.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
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
        self._pump = threading.Thread(target=self._listen, name=f"log-{self.pid}", daemon=True)
        self._pump.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def how_it_ended(self) -> str:
        """``ended with exit code 1`` or ``was killed by SIGKILL``."""
        code = self._process.wait()
        self.kill()  # its own children keep its output open
        return f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"

    def wait(self, seconds: float) -> bool:
        """Whether the process ends within the time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Kill the process and its own children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._pump.join(timeout=5)

    @abstractmethod
    def hear(self, line: str) -> None:
        """Take a line of the output."""

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self.hear(line.rstrip())
