"""Memory that is no longer used, given back: a search makes one copy of the weights after the other."""

from __future__ import annotations

import ctypes
import gc


def free() -> None:
    """Collect what refers to itself, as graphs of graphsurgeon do with their weights, and hand free pages to the system.

    glibc keeps freed blocks of up to 32 MB for later; between two stages those of the last one are of no use.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
