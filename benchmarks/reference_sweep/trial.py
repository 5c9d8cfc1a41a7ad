"""What the sweep judges: a model, what it is fed, and how it is named in the file of verdicts."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

_SHOWN = 8
"""Constants of at most so many elements are written out."""

Arrays = dict[str, np.ndarray]


class Key(NamedTuple):
    """What names a trial; rows are sorted by it. ``test``: the name of onnx's node test, empty for a generated case."""

    operator: str
    opset: int
    attributes: str
    inputs: str
    test: str


@dataclass(frozen=True, eq=False)
class Trial:
    """``expected``: what onnx's node test demands of the outputs, when it does for this opset, within ``bounds``, relative and absolute."""

    key: Key
    model: onnx.ModelProto
    feeds: Arrays
    expected: tuple[Any, ...] | None = None
    bounds: tuple[float, float] = (0.0, 0.0)


def attribute_text(value: Any) -> str:
    """As ``2,3`` for a list, values for a short tensor, nothing for a graph."""
    if isinstance(value, onnx.TensorProto):
        return array_text(numpy_helper.to_array(value))
    if isinstance(value, onnx.GraphProto):
        return "graph"
    if isinstance(value, (list, tuple)):
        return ",".join(map(attribute_text, value))
    if isinstance(value, bytes):
        return value.decode()
    return f"{value:g}" if isinstance(value, float) else str(value)


def array_text(value: np.ndarray) -> str:
    """As ``i64{0,1}``; a long one as ``f32[4,5]#`` and a checksum."""
    name, shape = dtype_text(value.dtype), f"[{','.join(map(str, value.shape))}]"
    if value.size > _SHOWN:
        return f"{name}{shape}#{zlib.crc32(value.tobytes()):08x}"
    return f"{name}{{{','.join(map(attribute_text, value.ravel().tolist()))}}}" + (shape if value.ndim != 1 else "")


def dtype_text(dtype: np.dtype) -> str:
    """As f32, i64, u8, bool."""
    kind = dtype.name.rstrip("0123456789")
    short = {"float": "f", "int": "i", "uint": "u"}.get(kind)
    return f"{short}{dtype.itemsize * 8}" if short else dtype.name
