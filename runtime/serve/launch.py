"""Starts a program that ends with its parent: ``python launch.py PARENT PROGRAM ARGUMENT…``.

The kernel kills what this becomes when the thread that started it ends, whatever ends it (prctl(2), PR_SET_PDEATHSIG). Set here,
after the fork, and not between fork and exec of a process with threads. Run as a file: nothing of the package is imported.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind to the parent and become the program; leave at once where the parent has gone meanwhile."""
    parent, program = int(sys.argv[1]), sys.argv[2]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    try:
        os.execv(program, sys.argv[2:])
    except OSError as error:
        sys.exit(f"{program} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main()
