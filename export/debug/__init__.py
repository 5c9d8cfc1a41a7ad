"""Find the source of an error: compare any stage with the original in FP64, tensor by tensor, and write a reproducer."""

from __future__ import annotations

from .find import debug

__all__ = ["debug"]
