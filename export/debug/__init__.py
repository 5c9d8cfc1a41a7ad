"""Where does the error come from? The original in FP64 against any stage, tensor by tensor, down to a file that shows it."""

from __future__ import annotations

from .find import debug

__all__ = ["debug"]
