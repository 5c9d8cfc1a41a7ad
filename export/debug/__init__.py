"""Find the source of an error: compare any stage with the original in FP64, tensor by tensor, and write a reproducer."""

from .find import debug

__all__ = ["debug"]
