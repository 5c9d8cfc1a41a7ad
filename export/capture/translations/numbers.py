"""Symbolic numbers of a program: square roots and ``round``, which torch.onnx (2.13) has no translations for.

They are computed in float64, as Python does; a root is rounded to float32, as a Python number is where it meets a tensor.
"""

import builtins
from typing import Any

import torch
from onnxscript import opset18 as op

from .shared import Translations

_FLOAT, _INT64, _DOUBLE = 1, 7, 11


def _sqrt(x: Any) -> Any:
    ops: Any = op
    return ops.Cast(ops.Sqrt(ops.Cast(x, to=_DOUBLE)), to=_FLOAT)


def _round(x: Any, digits: int | None = None) -> Any:
    """To the nearest integer, halves to the even one, as Python does."""
    ops: Any = op
    return ops.Cast(ops.Round(ops.Cast(x, to=_DOUBLE)), to=_INT64)


NUMBERS: Translations = {torch._sym_sqrt: _sqrt, builtins.round: _round}  # type: ignore[attr-defined]  # made at import
