"""``--time-limit`` and ``--memory-limit``: a command runs in a child of its own, which ends at a limit.

The child is forked before torch, ONNX Runtime or TensorRT is imported. If a native library ends it, the parent says what it
was at (:mod:`..runtime.whereabouts`), removes what it had half written, and exits with 1. Linux only; elsewhere the command
runs in the process itself, without limits.
"""

import contextlib
import ctypes
import functools
import inspect
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ..errors import InputError, StageError
from ..runtime import whereabouts
from ..runtime.files.atomic import leftovers, locked_directory, sweep
from .confinement import confine_command

MEMORY = "Stop above this much memory, such as 8G; default: 90 % of what is free."
MINUTE, HOUR = 60.0, 3600.0
"""In seconds."""
_TURN_S = 0.2
_GRACE_S = 5.0
"""Between the request to end and the kill."""
_SHARE = 0.9
_FROM_KERNEL = 0x80
"""``si_code`` of a signal that the terminal sends, to the child as well."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a command to end."""
_TEMPORARY = "attnexport-"
_SHOW_CURSOR = "\x1b[?25h"
"""The live line of a stage hides it."""
_program: list[bool] = []


def is_program() -> None:
    """Called when attnexport is the program of this process. Without it, in tests and inside other programs, nothing is forked."""
    _program[:] = [True]


def limited(default_s: float) -> Callable[[Any], Any]:
    """Give a command the two options; ``default_s`` is the time limit in seconds if none is given."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(*, time_limit: float | None, memory_limit: str | None, **options: Any) -> None:
            limits = Limits.of(default_s if time_limit is None else time_limit, memory_limit)
            if _program and hasattr(signal, "sigtimedwait"):
                _in_child(lambda: _confined(command, options), limits)
            else:
                command(**options)

        signature = inspect.signature(command)
        time_help = f"Stop after this many seconds; default {default_s:g}."
        added = [_option("time_limit", float | None, time_help), _option("memory_limit", str | None, MEMORY)]
        run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]  # typer reads it
        return run

    return decorate


def confined(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the limits of :mod:`.confinement`, without a child of its own."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        if _program:
            _confined(command, options)
        else:
            command(**options)

    return run


def _confined(command: Callable[..., None], options: dict[str, Any]) -> None:
    confine_command(options)
    command(**options)


def _option(name: str, kind: Any, text: str) -> inspect.Parameter:
    annotation = Annotated[kind, typer.Option(help=text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


@dataclass(frozen=True)
class Limits:
    """``seconds`` of wall time and ``memory`` in bytes of the command with its children."""

    seconds: float
    memory: int

    @classmethod
    def of(cls, seconds: float, memory: str | None) -> "Limits":
        """Read the options. Raises InputError for a value that is not above 0."""
        if not 0 < seconds < float("inf"):
            raise InputError(f"--time-limit {seconds:g} is not a number of seconds above 0", "give --time-limit 600")
        return cls(seconds, int(_SHARE * _free_memory()) if memory is None else _bytes(memory))


def _bytes(text: str) -> int:
    units = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    number, unit = (text[:-1], units[text[-1:].upper()]) if text[-1:].upper() in units else (text, 1)
    if not number.isdecimal() or not 0 < int(number) * unit < 2**60:
        raise InputError(f"--memory-limit {text!r} is not a size", "write it as 512M or 8G")
    return int(number) * unit


def _free_memory() -> int:
    """Bytes that can be had without swapping: of the machine, or of the container if it has less. 2**60 if unknown."""
    free = 2**60
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    with contextlib.suppress(OSError, ValueError):  # "max" is not a number: no limit
        group = Path("/sys/fs/cgroup")
        used = int((group / "memory.current").read_text(encoding="ascii"))
        free = min(free, int((group / "memory.max").read_text(encoding="ascii")) - used)
    return free


def _in_child(work: Callable[[], None], limits: Limits) -> None:
    """Run ``work`` in a child, where this function returns; the parent exits as the child does."""
    board = whereabouts.Board()
    sys.stdout.flush()
    sys.stderr.flush()
    with _temporary_folder() as temporary:
        caught = {signal.SIGCHLD, *(number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN)}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, caught)
        parent = os.getpid()
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        child = os.fork()
        if child:
            ending = _Watch(child, limits, board).wait(caught)
            end_orphans()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if not child:
        _follow(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        whereabouts.use(board)
        work()
        return
    ending.leave()


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for temporary files, removed by the process that made it; those of killed parents are removed, too."""
    root, maker = Path(tempfile.gettempdir()), os.getpid()
    for old in leftovers(root, _TEMPORARY):
        shutil.rmtree(old, ignore_errors=True)
    path, lock = locked_directory(root, _TEMPORARY, 0o700)
    try:
        yield path
    finally:
        if os.getpid() == maker:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _follow(parent: int) -> None:
    """End with the parent, however it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value)


def end_orphans() -> None:
    """End every process that this one has started, and those of a child that has ended, which are this one's then."""
    for pid in family(os.getpid())[1:]:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@dataclass(frozen=True)
class _Ending:
    """How the child ended: its exit code, negative for a signal, or the limit that it passed, in words."""

    code: int
    limit: str
    at: whereabouts.Whereabouts

    def leave(self) -> NoReturn:
        """Exit as the child did. Raises StageError if it was ended from outside, after removing what it had half written."""
        stop = -self.code if self.code < 0 else self.code - 128
        if stop in STOPS:
            sys.stderr.write(f"attnexport: stopped by {signal.Signals(stop).name}\n")
        if self.code >= 0 and not self.limit:
            sys.exit(self.code)
        if sys.stdout.isatty():
            sys.stdout.write(_SHOW_CURSOR)
        if self.at.destination:
            sweep(Path(self.at.destination))
        if stop in STOPS:
            sys.exit(128 + stop)
        stage = self.at.stage or "start"
        work = f", at {self.at.work}" if self.at.work else ""
        if self.limit:
            raise StageError(
                stage, f"stopped{work}: {self.limit}", "raise that limit, or give a smaller model or shape"
            )
        number = -self.code
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        if number == signal.SIGKILL:
            raise StageError(stage, f"the process was killed{work}", "if memory ran out, give smaller shapes")
        raise StageError(
            stage,
            f"a native library ended the process with {name}{work}",
            "nothing was written; leave that part out of the model, or update the library",
        )


class _Watch:
    """Waits for a child, hands signals on to it, and ends it at a limit."""

    def __init__(self, child: int, limits: Limits, board: whereabouts.Board) -> None:
        self._child, self._limits, self._board = child, limits, board
        self._started = time.monotonic()

    def wait(self, caught: set[signal.Signals]) -> _Ending:
        """Return when the child has ended. It has some seconds after a signal; native code may not notice one."""
        stop, until = 0, float("inf")
        while True:
            received = signal.sigtimedwait(caught, _TURN_S)
            if received is not None and received.si_signo != signal.SIGCHLD:
                stop, until = received.si_signo, min(until, time.monotonic() + _GRACE_S)
                if received.si_code != _FROM_KERNEL:
                    os.kill(self._child, received.si_signo)
            done, status = os.waitpid(self._child, os.WNOHANG)
            if done:
                return _Ending(os.waitstatus_to_exitcode(status), "", self._board.read())
            if time.monotonic() > until:
                at = self._board.read()
                os.kill(self._child, signal.SIGKILL)
                os.waitpid(self._child, 0)
                return _Ending(-stop, "", at)
            if limit := self._passed():
                at = self._board.read()
                self._end()
                return _Ending(1, limit, at)

    def _passed(self) -> str:
        if time.monotonic() - self._started > self._limits.seconds:
            return f"--time-limit of {self._limits.seconds:g} s is over"
        used = sum(resident(pid) for pid in family(self._child))
        if used > self._limits.memory:
            return f"{used / 1e9:.1f} GB of memory are used, and --memory-limit is {self._limits.memory / 1e9:.1f} GB"
        return ""

    def _end(self) -> None:
        """Ask the child to end, then kill it with its own children."""
        everybody = family(self._child)
        os.kill(self._child, signal.SIGTERM)
        until = time.monotonic() + _GRACE_S
        ended = False
        while not ended and time.monotonic() < until:
            ended = bool(os.waitpid(self._child, os.WNOHANG)[0])
            time.sleep(0.02)
        for pid in everybody:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not ended:
            os.waitpid(self._child, 0)


def family(pid: int) -> list[int]:
    """``pid`` and its children, their children, and so on."""
    members = [pid]
    for member in members:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{member}/task").iterdir():
                members += map(int, (task / "children").read_text(encoding="ascii").split())
    return members


def resident(pid: int) -> int:
    """Bytes of memory of a process; 0 after its end."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
