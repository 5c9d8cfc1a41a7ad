"""Standard streams and signals of the program: neither a reader that leaves nor a full disk changes the result of the work.

``attnexport check NAME.attn | head -1`` ends with the code of the verdict: what cannot be written to standard output or
standard error is dropped. A full disk is named on standard error.
"""

import contextlib
import errno
import io
import os
import select
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

from .limits import STOPS, end_orphans

_QUIET = (errno.EPIPE, errno.ECONNRESET)
"""The reader left: it has what it wanted."""
_program = 0


class _Stream(io.FileIO):
    """A stream that swallows everything once it cannot be written."""

    def write(self, content: Any) -> int:
        try:
            while (written := super().write(content)) is None:  # a pipe that does not block, and is full
                select.select([], [self], [])
            return written
        except OSError as error:
            number = self.fileno()
            # Libraries of C++ write to the descriptor itself.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)
            if number == 1 and error.errno not in _QUIET:
                sys.stderr.write(f"attnexport: standard output cannot be written ({error.strerror})\n")
            return memoryview(content).nbytes


def install() -> None:
    """Replace the standard streams of this process, and end it at SIGINT, SIGTERM and SIGHUP by an exception."""
    global _program
    _program = os.getpid()
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # it was closed: a file that is opened later must not take its number
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    sys.stdout, sys.stderr = _text(1, sys.stdout), _text(2, sys.stderr)
    for number in STOPS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _end)


def _text(number: int, before: Any) -> io.TextIOWrapper:
    """A text stream on a descriptor; a character that its encoding lacks, such as half of a pair, is written as an escape."""
    buffer = io.BufferedWriter(_Stream(number, "wb", closefd=False))
    return io.TextIOWrapper(
        buffer,
        getattr(before, "encoding", "utf-8"),
        "backslashreplace",
        line_buffering=number == 2 or os.isatty(number),
    )


def _end(number: int, _: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the clean-up
    if os.getpid() == _program:  # a child of limits.py leaves the word to its parent
        sys.stderr.write(f"attnexport: stopped by {signal.Signals(number).name}\n")
        end_orphans()
    sys.exit(128 + number)
