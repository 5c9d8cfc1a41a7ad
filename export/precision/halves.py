"""The two 16-bit types: their limits, constants in them, and the opset from which operators take them.

FP16 has more digits, BF16 the range of FP32:

FP16   10 fraction bits, 65504 at most, counts exactly to 2048
BF16    7 fraction bits, 3.4e38 at most, counts exactly to 256

A constant is saturated, and never becomes zero:

    |c| beyond the largest, finite   ->  +-largest             (infinities and NaN stay)
    0 < |c| below the smallest       ->  +-smallest            (an epsilon must not cause a division by zero)
    anything else                    ->  round to nearest even
"""

from dataclasses import dataclass
from typing import Literal

import ml_dtypes  # required by onnx: NumPy has no bfloat16
import numpy as np
from onnx import ModelProto, TensorProto, defs

from ...errors import InputError
from ..graph.model import at_least, opset_of

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


BF16_OPSET = 22
"""ONNX allows BF16 for Conv, pooling, GridSample and others from this opset on."""


_NOT_RUN_AT_22 = {"GlobalLpPool", "MaxRoiPool", "RoiAlign"}
"""ONNX Runtime 1.31 has no kernel for their versions of opset 22: such a model could not be verified there."""


def prepared(model: ModelProto, half: HalfType) -> ModelProto:
    """The model itself, or a copy at opset 22 if that gives an operator of the model a BF16 form.

    A model with an operator that ONNX Runtime does not run at opset 22 stays as it is, and keeps more in FP32.

    Raises StageError if ONNX's version converter fails.
    """
    opset = opset_of(model)
    if half is FP16 or opset < 13:
        return model
    kinds = {node.op_type for graph in (model.graph, *model.functions) for node in graph.node}
    if kinds & _NOT_RUN_AT_22 or not any(_gains_half(kind, opset, half) for kind in kinds):
        return model
    return at_least(model, BF16_OPSET, "precision")


def _gains_half(op_type: str, opset: int, half: HalfType) -> bool:
    """Whether the operator has a 16-bit form at opset 22, and none at ``opset``."""

    def has_form(version: int) -> bool:
        try:
            schema = defs.get_schema(op_type, version, "")
        except defs.SchemaError:
            return False
        return any(half.schema_name in constraint.allowed_type_strs for constraint in schema.type_constraints)

    return opset < BF16_OPSET and has_form(BF16_OPSET) and not has_form(opset)


LARGEST = FP16.largest


@dataclass(frozen=True)
class HalfArray:
    """An array in a 16-bit type, with the numbers of saturated values and of values that were kept from becoming zero."""

    array: np.ndarray
    saturated: int
    lifted: int


def to_half(array: np.ndarray, saturate_at: float | None = None, half: HalfType = FP16) -> HalfArray:
    """Convert a float32 array of any shape by the rules above; too large values become ``saturate_at``, if set."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        rounded = array.astype(half.dtype)
    over = np.isinf(rounded) & np.isfinite(array)
    under = (rounded == 0) & (array != 0)
    saturated, lifted = int(np.count_nonzero(over)), int(np.count_nonzero(under))
    if saturated or lifted:
        limit = half.largest if saturate_at is None else saturate_at
        rounded = np.array(rounded)
        rounded[over] = np.copysign(limit, array[over]).astype(half.dtype)
        rounded[under] = np.copysign(half.smallest, array[under]).astype(half.dtype)
    return HalfArray(rounded, saturated, lifted)


@dataclass(frozen=True)
class Extent:
    """The range of a constant: largest finite and smallest non-zero magnitude, and whether it contains an infinity."""

    largest: float
    smallest: float
    infinite: bool

    def overflows(self, half: HalfType = FP16) -> bool:
        """Whether a finite value exceeds the type's largest number (after rounding)."""
        return self.largest >= half.overflow_from

    def loses_digits(self, half: HalfType = FP16) -> bool:
        """Whether the largest value is below the type's normal range, so that it loses digits or becomes zero."""
        return 0.0 < self.largest < half.smallest_normal


def extent(array: np.ndarray) -> Extent:
    """The range of a constant of any shape; zeros for an empty one."""
    magnitude = np.abs(array)
    finite = magnitude[np.isfinite(magnitude)]
    nonzero = finite[finite > 0]
    return Extent(
        largest=float(finite.max(initial=0.0)),
        smallest=float(nonzero.min(initial=np.inf)) if nonzero.size else 0.0,
        infinite=bool(np.isinf(magnitude).any()),
    )
