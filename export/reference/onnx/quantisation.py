"""Quantisation and its inverse: per tensor, per axis and per block, to and from 4, 8, 16 and 32 bits."""

from typing import Any

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper

from .call import FLOAT8, Array, Call, Kernel
from .tensors import to_float8


def _spread(values: Array, x: Array, call: Call) -> Array:
    """Scales or zero points, one per tensor, per place of an axis or per block of it, in a shape that broadcasts to ``x``."""
    block, axis = call.integer("block_size", 0), call.integer("axis", 1)
    if values.size == 1:
        return values.reshape(())
    axis %= x.ndim
    if block:
        return np.repeat(values, block, axis)[(slice(None),) * axis + (slice(0, x.shape[axis]),)]
    return values.reshape([-1 if a == axis else 1 for a in range(x.ndim)])


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    info: Any = np.iinfo(dtype) if dtype.kind in "iu" else ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]
    return int(info.min), int(info.max)


def quantised(values: Array, dtype: np.dtype[Any]) -> Array:
    """Real numbers on the grid of an integer type: rounded half to even, saturated."""
    return np.clip(np.rint(values), *_limits(dtype)).astype(np.int64).astype(dtype)


def _quantise(call: Call) -> list[Array]:
    x, scale = call.real(0), call.real(1)
    if call.present(2):
        dtype = call.array(2).dtype
        zero = _spread(call.array(2).astype(np.float64), x, call)
    else:
        kind = call.integer("output_dtype", 0) or TensorProto.UINT8
        dtype, zero = np.dtype(helper.tensor_dtype_to_np_dtype(kind)), np.zeros(())
    if helper.np_dtype_to_tensor_dtype(dtype) in FLOAT8:
        return [
            to_float8(
                x.astype(np.float32) / _spread(scale, x, call).astype(np.float32), dtype, call.flag("saturate", 1)
            )
        ]
    return [quantised(_steps(x, _spread(scale, x, call)) + zero, dtype)]


def _steps(x: Array, scale: Array) -> Array:
    """x / scale, rounded half to even. The quotient is FP32, as in the file: it decides which neighbour is nearer."""
    return np.asarray(np.rint(x.astype(np.float32) / scale.astype(np.float32)), np.float64)


def _dequantise(call: Call) -> list[Array]:
    x, scale = call.array(0), call.real(1)
    wide = x.astype(np.float64)
    zero = _spread(call.array(2).astype(np.float64), x, call) if call.present(2) else 0.0
    return [np.asarray((wide - zero) * _spread(scale, x, call))]


def dynamic_steps(values: Array) -> tuple[Array, Array, Array]:
    """Real numbers as uint8 over their range, which includes zero; with the scale and the zero point, computed in FP32 as in the file."""
    x = values.astype(np.float32)
    low, high = min(x.min(initial=0), np.float32(0)), max(x.max(initial=0), np.float32(0))
    scale = np.asarray((high - low) / np.float32(255) or 1, np.float32)
    zero = np.rint(np.clip(-low / scale, 0, 255))
    return (
        quantised(_steps(values, scale) + zero, np.dtype(np.uint8)),
        scale.astype(np.float64),
        np.asarray(zero, np.uint8),
    )


def _dynamic_quantise(call: Call) -> list[Array]:
    return list(dynamic_steps(call.real(0)))


KERNELS: dict[str, Kernel] = {
    "DequantizeLinear": _dequantise,
    "DynamicQuantizeLinear": _dynamic_quantise,
    "QuantizeLinear": _quantise,
}
"""By operator of the standard domain; those of com.microsoft are the same."""
