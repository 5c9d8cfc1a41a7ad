"""The error of a tensor in numbers, and the gate that an export must pass.

The gate compares errors, so there is no tolerance to tune: the export and PyTorch (the original module
at the same precision) are both compared with the original module in FP64. The error of the export may
be at most ``factor`` times PyTorch's:

    ratio = rms(export - reference) / max(rms(torch - reference), floor)        passed = ratio <= factor

``floor`` is half an ulp of the precision at the reference's rms (2^-24 of it for float32, 2^-11 for float16): where
PyTorch happens to be exact, or better than its dtype can promise, one rounding is still allowed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .codec import encode_fields

# Per floating dtype: half an ulp relative to the value, and half of its smallest subnormal.
_HALF_ULP = {
    "float16": (2.0**-11, 2.0**-25),
    "bfloat16": (2.0**-8, 2.0**-134),
    "float32": (2.0**-24, 2.0**-150),
    "float64": (2.0**-53, 2.0**-1074),
    # Layers of 8 bits in an FP16 model: what comes out is FP16.
    "int8+float16": (2.0**-11, 2.0**-25),
    "fp8+float16": (2.0**-11, 2.0**-25),
}


@dataclass(frozen=True)
class Figures:
    """Errors over ``count`` elements: rms, largest, relative to the reference's rms, and the cosine.

    No error is divided by single elements of the reference. ``relative`` is 0 if all elements are
    equal, and infinite if only the reference is zero.
    """

    rms: float
    max_abs: float
    relative: float
    cosine: float
    reference_rms: float
    count: int

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return encode_fields(self)


def rounding_floor(precision: str, reference_rms: float) -> float:
    """Half an ulp of ``precision`` at ``reference_rms``; 0 for integers and bool, which have nothing to round.

    Never below half the smallest subnormal, so that a reference of zeros still has a floor.
    """
    relative, smallest = _HALF_ULP.get(precision, (0.0, 0.0))
    return max(relative * reference_rms, smallest)


@dataclass(frozen=True)
class Gate:
    """The verdict on one output: see the module's formula. All fields are what went into it."""

    torch_rms: float
    floor: float
    factor: float
    ratio: float
    passed: bool

    @classmethod
    def judge(cls, figures: Figures, *, torch_rms: float, precision: str, factor: float) -> Gate:
        """Hold ``figures`` to ``factor`` times PyTorch's ``torch_rms`` at ``precision``; a NaN never passes."""
        floor = rounding_floor(precision, figures.reference_rms)
        allowed = max(torch_rms, floor)
        ratio = figures.rms / allowed if allowed > 0.0 else math.inf if figures.rms else 0.0
        return cls(torch_rms, floor, factor, ratio, ratio <= factor)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return encode_fields(self)


@dataclass(frozen=True)
class ParityRecord:
    """One output of one stage against the reference.

    ``stage``: ``onnx-fp32``, ``onnx-fp16``, ``engine-fp16`` …; ``file``: what ran, inside the bundle; ``precision``:
    whose own PyTorch error the gate compares with. ``figures`` and ``gate`` cover all data of the export's
    verification; ``torch_rms`` is PyTorch's rms over the GOLDEN cases alone, so that ``attnexport check`` can hold
    the files to the same gate without torch. ``detail`` is free-form: top-1 agreement, data sets, batch sizes.
    """

    stage: str
    file: str
    precision: str
    output: str
    figures: Figures
    gate: Gate
    torch_rms: float
    detail: dict[str, Any]
