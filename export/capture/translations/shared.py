"""What the translations of ATen operators share."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnxscript import opset18 as op
from onnxscript.values import Opset

from ...domain import DOMAIN, VERSION

Translations = Mapping[Callable[..., Any], Callable[..., Any]]
"""ATen operators and the functions that write them as ONNX, as ``torch.onnx.export(custom_translation_table=...)`` takes them."""

aten = torch.ops.aten
domain: Any = Opset(DOMAIN, VERSION)
"""The operators of the ``attnexport`` domain; its schemas must be registered when a translation runs."""


def ints(*values: int) -> Any:
    """A constant 1-D int64 tensor."""
    return op.Constant(value_ints=list(values))
