"""Operators that make tensors, name types, or pick by exact integers where ONNX Runtime has no double kernel."""

from typing import Any

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .call import FLOAT8, FLOATS, Array, Call, Kernel, NotCovered, tensor_value, widened

_FOUR_BITS = frozenset({TensorProto.INT4, TensorProto.UINT4})
_VALUES = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


def _constant(call: Call) -> list[Array]:
    """Every form of a constant; FP32 values are widened as they are stored."""
    for name, value in call.attributes.items():
        if name == "value":
            return [tensor_value(value)]
        if name in _VALUES:
            return [widened(np.asarray(value, _VALUES[name]))]
        if name in ("value_string", "value_strings"):
            texts = [value] if name == "value_string" else list(value)
            array = np.array([t.decode() if isinstance(t, bytes) else t for t in texts], object)
            return [array.reshape(()) if name == "value_string" else array]
    raise NotCovered


def _constant_of_shape(call: Call) -> list[Array]:
    value = call.attributes.get("value")
    fill = widened(numpy_helper.to_array(value)) if value is not None else np.zeros(1)
    return [np.full(call.ints(0) or [], fill.reshape(-1)[0], fill.dtype)]


def _cast_to(x: Array, kind: int, saturate: bool) -> Array:
    """A float of any width is float64 here; to an integer a float is truncated."""
    if kind in FLOATS:
        if x.dtype.kind in "OUS":
            return np.array([float(np.float32(v)) for v in x.reshape(-1)]).reshape(x.shape)
        return x.astype(np.float64)
    if x.dtype.kind in "OUS" or kind == TensorProto.STRING:
        raise NotCovered
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    if dtype.kind == "b":
        return np.asarray((x.astype(np.float64) if x.dtype.kind == "V" else x) != 0)
    if kind in FLOAT8:
        return to_float8(x.astype(np.float32), dtype, saturate)
    if kind in _FOUR_BITS:
        return np.trunc(x.astype(np.float64)).astype(np.int64).astype(dtype)
    if x.dtype == np.float64 and dtype.kind in "iu":
        if dtype not in (np.int32, np.int64):  # those saturate as a processor does; the others keep the low bits
            return np.trunc(x).astype(np.int64).astype(dtype)
        return np.trunc(x).astype(dtype)
    if dtype.kind in "iu" and x.dtype.kind in "iub":
        return x.astype(dtype)
    raise NotCovered


def to_float8(x: Array, dtype: np.dtype[Any], saturate: bool) -> Array:
    """Rounded half to even; what is too large becomes the largest finite number, or without ``saturate`` NaN or infinity."""
    limit = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]
    return np.asarray((np.clip(x, -limit, limit) if saturate else x).astype(dtype))


def _cast(call: Call) -> list[Array]:
    return [_cast_to(call.array(0), call.integer("to", 0), call.flag("saturate", 1))]


def _cast_like(call: Call) -> list[Array]:
    like = call.array(1)
    if like.dtype.kind in "OUS":
        raise NotCovered
    return [_cast_to(call.array(0), helper.np_dtype_to_tensor_dtype(like.dtype), call.flag("saturate", 1))]


def _identity(call: Call) -> list[Array]:
    return [call.inputs[0]]


def _eye_like(call: Call) -> list[Array]:
    x = call.array(0)
    kind = call.integer("dtype", 0) or helper.np_dtype_to_tensor_dtype(x.dtype)
    dtype = np.float64 if kind in FLOATS else helper.tensor_dtype_to_np_dtype(kind)
    rows, columns = x.shape
    return [np.eye(rows, columns, call.integer("k", 0), dtype)]


def _one_hot(call: Call) -> list[Array]:
    """Indices from -depth to depth - 1; others give a row without the on-value."""
    index, values = call.array(0).astype(np.int64), call.array(2)
    depth, axis = int(call.array(1).reshape(-1)[0]), call.integer("axis", -1)
    axis = axis % (index.ndim + 1)
    index = np.expand_dims(np.where(index < 0, index + depth, index), axis)
    steps = np.arange(depth).reshape([-1 if a == axis else 1 for a in range(index.ndim)])
    return [np.where(index == steps, values[1], values[0])]


def _non_zero(call: Call) -> list[Array]:
    x = call.array(0)
    return [np.array(np.nonzero(np.atleast_1d(x)), np.int64).reshape(max(x.ndim, 1), -1)]


def _shape(call: Call) -> list[Array]:
    dims = call.array(0).shape
    return [np.array(dims[slice(call.attributes.get("start", 0), call.attributes.get("end"))], np.int64)]


def _size(call: Call) -> list[Array]:
    return [np.array(call.array(0).size, np.int64)]


def _range(call: Call) -> list[Array]:
    """The number of elements is that of the FP32 arithmetic of the file; the elements are FP64."""
    start, limit, step = (call.real(n).item() for n in range(3))
    count = int(np.ceil(np.float64(np.float32(limit) - np.float32(start)) / np.float32(step)))
    return [start + step * np.arange(max(count, 0), dtype=np.float64)]


def _dropout(call: Call) -> list[Array]:
    """Inference keeps everything; training draws a mask, which is left to ONNX Runtime."""
    if call.present(2) and bool(call.array(2)):
        raise NotCovered
    x = call.array(0)
    return [x, np.ones(x.shape, np.bool_ if call.opset >= 10 else x.dtype)]


def _pad(call: Call) -> list[Array]:
    """Pads below zero crop. Modes constant, reflect, edge, wrap; the amounts for ``axes`` alone if they are given."""
    x = call.real(0)
    pads = (call.integers("pads") or []) if call.opset < 11 else (call.ints(1) or [])
    axes = [a % x.ndim for a in call.ints(3) or range(x.ndim)] if call.opset >= 18 else list(range(x.ndim))
    mode = call.text("mode", "constant")
    value = call.number("value", 0.0) if call.opset < 11 else call.real(2).item() if call.present(2) else 0.0
    if mode != "constant" and min(pads, default=0) < 0:
        raise NotCovered
    widths = [(0, 0)] * x.ndim
    for n, axis in enumerate(axes):
        widths[axis] = (pads[n], pads[n + len(axes)])
    x = x[tuple(slice(max(-a, 0), x.shape[n] - max(-b, 0)) for n, (a, b) in enumerate(widths))]
    amounts = [(max(a, 0), max(b, 0)) for a, b in widths]
    if mode == "constant":
        return [np.pad(x, amounts, constant_values=value)]
    return [np.pad(x, amounts, mode)]  # type: ignore[call-overload]


def _pad_microsoft(call: Call) -> list[Array]:
    """As the standard's from opset 13 on."""
    return _pad(Call(call.node, 13, call.inputs, call.attributes))


MICROSOFT: dict[str, Kernel] = {"Pad": _pad_microsoft}
"""By operator of the domain com.microsoft."""

KERNELS: dict[str, Kernel] = {
    "Cast": _cast,
    "CastLike": _cast_like,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _dropout,
    "EyeLike": _eye_like,
    "Identity": _identity,
    "NonZero": _non_zero,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Range": _range,
    "Shape": _shape,
    "Size": _size,
}
"""By operator of the standard domain."""
