"""The two 16-bit types and their limits: FP16 has more digits, BF16 the range of FP32.

FP16   10 fraction bits, 65504 at most, counts exactly to 2048
BF16    7 fraction bits, 3.4e38 at most, counts exactly to 256
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ml_dtypes  # required by onnx: NumPy has no bfloat16
import numpy as np
from onnx import TensorProto

from ...errors import InputError

HalfName = Literal["fp16", "bf16"]


@dataclass(frozen=True)
class HalfType:
    """One 16-bit type. ``overflow_from`` is the least magnitude that rounds to infinity, ``counts_to`` the largest N
    up to which all whole numbers are exact, ``raster`` the distance of its numbers below 1, in pixels of 256."""

    name: HalfName
    title: str
    numpy_name: str
    elem: int
    dtype: np.dtype
    suffix: str
    largest: float
    overflow_from: float
    smallest: float
    smallest_normal: float
    counts_to: int
    raster: str

    @property
    def schema_name(self) -> str:
        """The type's name in ONNX schemas."""
        return f"tensor({self.numpy_name})"


FP16 = HalfType(
    name="fp16",
    title="FP16",
    numpy_name="float16",
    elem=TensorProto.FLOAT16,
    dtype=np.dtype(np.float16),
    suffix="to_f16",
    largest=65504.0,
    overflow_from=65520.0,
    smallest=2.0**-24,
    smallest_normal=2.0**-14,
    counts_to=2048,
    raster="1/16",
)
BF16 = HalfType(
    name="bf16",
    title="BF16",
    numpy_name="bfloat16",
    elem=TensorProto.BFLOAT16,
    dtype=np.dtype(ml_dtypes.bfloat16),
    suffix="to_bf16",
    largest=(2 - 2.0**-7) * 2.0**127,
    overflow_from=(2 - 2.0**-8) * 2.0**127,
    smallest=2.0**-133,
    smallest_normal=2.0**-126,
    counts_to=256,
    raster="1/2",
)
_BY_NAME = {half.name: half for half in (FP16, BF16)}


def half_type(name: str) -> HalfType:
    """Return the type named ``fp16`` or ``bf16``. Raises InputError for another name."""
    if name not in _BY_NAME:
        raise InputError(f"precision {name!r} is not a 16-bit type", f"use one of {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
