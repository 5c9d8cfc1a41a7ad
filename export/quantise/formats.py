"""The two 8-bit types: their codes, the step of a range, and which scales FP16 arithmetic can use.

    q = round(x / s), saturated        x' = q s        s = absmax / largest

INT8   -127 .. 127, even steps: the error is s / sqrt(12) whatever the value
FP8    E4M3: 3 fraction bits and 4 of exponent, 448 at most, 2^-9 at least: the error is 2 % of the value

Sources: ONNX QuantizeLinear, opset 19; Micikevicius et al., FP8 Formats for Deep Learning (2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper

from ...errors import InputError

QuantisedName = Literal["int8", "fp8"]

OPSET = 19
"""The first with FP16 scales and FP8 codes."""
_LEAST_SCALE = 2.0**-14
"""Least scale of data: its inverse and what is divided by it stay within FP16."""
_LEAST_WEIGHT_SCALE = 2.0**-20
"""Least scale of weights, which are only multiplied by it: a subnormal FP16 number of at least 4 bits."""


@dataclass(frozen=True)
class Format:
    """One 8-bit type. ``largest`` is the code that the largest magnitude gets."""

    name: QuantisedName
    title: str
    elem: int
    dtype: np.dtype
    largest: float

    def codes(self, scaled: np.ndarray) -> np.ndarray:
        """Values that are already divided by their scale, as codes of ``dtype``, ties to even, saturated."""
        held = np.clip(scaled, -self.largest, self.largest)
        codes: np.ndarray = (np.rint(held) if self.dtype.kind == "i" else held.astype(np.float32)).astype(self.dtype)
        return codes

    def tensor(self, codes: np.ndarray, name: str) -> TensorProto:
        """Codes as an initializer."""
        return helper.make_tensor(name, self.elem, codes.shape, np.ascontiguousarray(codes).tobytes(), raw=True)

    def zero(self, shape: tuple[int, ...], name: str) -> TensorProto:
        """The zero points: all zero, which TensorRT requires; they also say the type of the codes."""
        return self.tensor(np.zeros(shape, self.dtype), name)


INT8 = Format("int8", "INT8", TensorProto.INT8, np.dtype(np.int8), 127.0)
FP8 = Format("fp8", "FP8", TensorProto.FLOAT8E4M3FN, np.dtype(ml_dtypes.float8_e4m3fn), 448.0)
_BY_NAME = {one.name: one for one in (INT8, FP8)}


def format_of(name: str) -> Format:
    """``int8`` or ``fp8``. Raises InputError for another name."""
    if name not in _BY_NAME:
        raise InputError(f"precision {name!r} is not an 8-bit type", f"use one of {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def data_scale(absmax: float, kind: Format) -> float:
    """The scale of data of a range: an FP16 number, rounded up so that nothing within the range saturates."""
    return float(_held(np.asarray(absmax / kind.largest), _LEAST_SCALE))


def weight_scales(weight: np.ndarray, axis: int, kind: Format) -> np.ndarray:
    """One scale for each channel along ``axis``, float32, each an FP16 number; a channel of zeros has one, too."""
    other = tuple(i for i in range(weight.ndim) if i != axis)
    absmax = np.abs(weight).max(axis=other).astype(np.float64)
    return _held(absmax / kind.largest, _LEAST_WEIGHT_SCALE).astype(np.float32)


def quantise_weight(weight: np.ndarray, scales: np.ndarray, axis: int, kind: Format) -> np.ndarray:
    """The codes of a weight."""
    shape = [1] * weight.ndim
    shape[axis] = -1
    return kind.codes(weight.astype(np.float64) / scales.astype(np.float64).reshape(shape))


def _held(scale: np.ndarray, least: float) -> np.ndarray:
    """Up to the next FP16 number, never below ``least``."""
    bounded = np.maximum(scale, least)
    near = bounded.astype(np.float16)
    above = np.nextafter(near, np.float16(np.inf))
    held: np.ndarray = np.where(near.astype(np.float64) >= bounded, near, above).astype(np.float64)
    return held
