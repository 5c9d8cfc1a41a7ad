"""The two 8-bit types: their codes, the step of a range, and the scales that FP16 arithmetic can use.

    q = round(x / s), saturated        x' = q s        s = absmax / largest

INT8   -127 .. 127, even steps: the error is s / sqrt(12) for every value
FP8    E4M3: 3 fraction bits and 4 of exponent, 448 at most, 2^-9 at least: the error is 2 % of the value

Sources: ONNX QuantizeLinear, opset 19; Micikevicius et al., FP8 Formats for Deep Learning (2022).
"""

from dataclasses import dataclass
from typing import Literal

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper

from ...errors import InputError

QuantisedName = Literal["int8", "fp8"]

OPSET = 19
"""The first opset with FP16 scales and FP8 codes."""
_LEAST_SCALE = 2.0**-14
"""Least scale of data: its inverse and the quotients stay within FP16."""
_LEAST_WEIGHT_SCALE = 2.0**-20
"""Least scale of weights, which are only multiplied by it: a subnormal FP16 number of at least 4 bits."""


@dataclass(frozen=True)
class Format:
    """One 8-bit type. ``largest`` is the code of the largest magnitude."""

    name: QuantisedName
    title: str
    elem: int
    dtype: np.dtype
    largest: float

    def codes(self, scaled: np.ndarray) -> np.ndarray:
        """Return the codes (``dtype``) of values that are divided by their scale: ties to even, saturated."""
        clipped = np.clip(scaled, -self.largest, self.largest)
        codes: np.ndarray = (np.rint(clipped) if self.dtype.kind == "i" else clipped.astype(np.float32)).astype(
            self.dtype
        )
        return codes

    def tensor(self, codes: np.ndarray, name: str) -> TensorProto:
        """Return codes as an initializer."""
        return helper.make_tensor(name, self.elem, codes.shape, np.ascontiguousarray(codes).tobytes(), raw=True)

    def zero(self, shape: tuple[int, ...], name: str) -> TensorProto:
        """Return the zero points: all zero, which TensorRT requires. They set the type of the codes."""
        return self.tensor(np.zeros(shape, self.dtype), name)


INT8 = Format("int8", "INT8", TensorProto.INT8, np.dtype(np.int8), 127.0)
FP8 = Format("fp8", "FP8", TensorProto.FLOAT8E4M3FN, np.dtype(ml_dtypes.float8_e4m3fn), 448.0)
_BY_NAME = {kind.name: kind for kind in (INT8, FP8)}


def format_of(name: str) -> Format:
    """Return the format named ``int8`` or ``fp8``. Raises InputError for another name."""
    if name not in _BY_NAME:
        raise InputError(f"precision {name!r} is not an 8-bit type", f"use one of {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def data_scale(absmax: float, kind: Format) -> float:
    """Return the scale of a range of data: an FP16 number, rounded up so that no value of the range saturates."""
    return float(_fp16_above(np.asarray(absmax / kind.largest), _LEAST_SCALE))


def weight_scales(weight: np.ndarray, axis: int, kind: Format) -> np.ndarray:
    """Return a scale per channel along ``axis``, float32, each an FP16 number; also for a channel of zeros."""
    other = tuple(i for i in range(weight.ndim) if i != axis)
    absmax = np.abs(weight).max(axis=other).astype(np.float64)
    return _fp16_above(absmax / kind.largest, _LEAST_WEIGHT_SCALE).astype(np.float32)


def quantise_weight(weight: np.ndarray, scales: np.ndarray, axis: int, kind: Format) -> np.ndarray:
    """Return the codes of a weight."""
    shape = [1] * weight.ndim
    shape[axis] = -1
    return kind.codes(weight.astype(np.float64) / scales.astype(np.float64).reshape(shape))


def _fp16_above(scale: np.ndarray, least: float) -> np.ndarray:
    """Round up to the next FP16 number, at least ``least``."""
    bounded = np.maximum(scale, least)
    near = bounded.astype(np.float16)
    above = np.nextafter(near, np.float16(np.inf))
    rounded: np.ndarray = np.where(near.astype(np.float64) >= bounded, near, above).astype(np.float64)
    return rounded
