"""Free unused memory: a search makes one copy of the weights after another."""

from __future__ import annotations

import ctypes
import gc


def free() -> None:
    """Collect reference cycles, such as graphs of graphsurgeon, and return free pages to the system.

    glibc keeps freed blocks of up to 32 MB, which the next stage does not need.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
