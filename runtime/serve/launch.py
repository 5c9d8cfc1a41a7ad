"""Start a program that ends with its parent: ``python launch.py PARENT PROGRAM ARGUMENT…``.

The kernel kills the program when the thread that started it ends, for whatever reason (prctl(2),
PR_SET_PDEATHSIG). It is set here, after the fork, because a process with threads must not run code
between fork and exec. This file imports nothing of the package.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind this process to its parent and become the program; exit at once if the parent has ended already."""
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
