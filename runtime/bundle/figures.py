"""The error of a tensor in numbers, and the gate that an export must pass.

The gate compares errors, so there is no tolerance to tune: the export and PyTorch (the original module
at the same precision) are both compared with the original module in FP64. The error of the export may
be at most ``factor`` times PyTorch's:

    ratio = rms(export - reference) / max(rms(torch - reference), floor)        passed = ratio <= factor

``floor`` is half an ulp of the precision at the reference's rms (2^-24 of it for float32, 2^-11 for float16): where
PyTorch happens to be exact, or better than its dtype can promise, one rounding is still allowed.

The ratio says nothing if PyTorch is far off, too. An output is ``unstable`` if PyTorch's error at that precision is above
1e-2 of the output's rms in FP32 and FP64, or 0.1 in 16 bits: then no export at that precision can be right.

Integers, booleans and selected rows (see :mod:`..check.selection`) are counted, too: the share that differs from the
reference may be at most ``factor`` times PyTorch's share, or 1 in 100 values at 16 bits and 1 in 1000 at FP32. Rows
may stand at another place: 1 in 100, or ``factor`` times PyTorch's share.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

from ...errors import InputError
from .codec import Known, Needed, Within, encode_fields

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


Count = Annotated[int, Within(0, 2**53)]
_EXACT_LIMIT, _ROUGH_LIMIT = 1e-2, 0.1


def spare_share(precision: str) -> float:
    """The share of discrete values that may differ whatever PyTorch does: scores can be equal but for rounding."""
    return 1e-3 if precision in ("float32", "float64") else 1e-2


def stable_limit(precision: str) -> float:
    """The largest error of PyTorch at ``precision``, relative to the output's rms, at which a verdict means something.

    Of integers and booleans it is the largest share that differs. With layers of 8 bits there is none: their error is
    the price that was asked for, and it is printed.
    """
    if precision in ("float32", "float64"):
        return _EXACT_LIMIT
    return math.inf if "+" in precision else _ROUGH_LIMIT


@dataclass(frozen=True)
class MatchCounts:
    """How many of ``count`` discrete values or selected rows equal the reference's.

    ``equal`` at the same place, ``moved`` at another place of the selection; ``ties``: differ, but only by a choice between
    scores that are closer than PyTorch's error; ``spare``: how many may differ whatever PyTorch does.
    """

    count: Count
    equal: Count
    moved: Count = 0
    ties: Count = 0
    spare: float = 0.0

    @property
    def lost(self) -> int:
        """Values or rows that differ from the reference, ties aside."""
        return self.count - self.equal - self.moved - self.ties

    @property
    def share(self) -> float:
        """The share that agrees, wherever it stands; 1.0 for all."""
        return (self.equal + self.moved) / self.count if self.count else 1.0

    def describe(self) -> str:
        """In words: ``95.2 % agree (12.5 % of them at another place, 2 ties)``."""
        moved = f"{self.moved / (self.equal + self.moved):.1%} of them at another place" if self.moved else ""
        ties = f"{self.ties} ties" if self.ties else ""
        notes = ", ".join(note for note in (moved, ties) if note)
        return f"{self.share:.1%} agree" + (f" ({notes})" if notes else "")

    def plus(self, other: "MatchCounts") -> "MatchCounts":
        """The counts of both."""
        return MatchCounts(
            self.count + other.count, self.equal + other.equal, self.moved + other.moved, self.ties + other.ties,
            self.spare + other.spare,
        )  # fmt: skip

    def ratio(self, torch: "MatchCounts", factor: float) -> float:
        """The lost or moved share as a multiple of PyTorch's, whichever is larger; ``spare`` values may always differ."""
        ratios = []
        for mine, theirs, spare in (
            (self.lost, torch.lost, self.spare),
            (self.moved, torch.moved, _FEW * self.count),
        ):
            allowed = max(theirs / max(1, torch.count), math.floor(spare) / max(1, self.count) / factor)
            share = mine / max(1, self.count)
            ratios.append(share / allowed if allowed > 0.0 else math.inf if share else 0.0)
        return max(ratios)


_FEW = 0.01
_UNCERTAIN = 1.25
"""An interval decides about ratios up to this many times the factor. Beyond, one wrong row of many could hide in it."""


GATE = 2.0
"""The factor if none is given."""
MOST = 1000.0
"""The largest factor: with more, a gate means nothing."""


Factor = Annotated[float, Within(1e-9, MOST)]
Share = Annotated[float, Within(0, 1)]


def check_factor(factor: float) -> None:
    """Raise InputError for a factor that cannot be a gate."""
    if not 0 < factor <= MOST:
        raise InputError(f"gate {factor:g} is not above 0 and at most {MOST:g}", f"the default is {GATE:g}")


@dataclass(frozen=True)
class Gate:
    """The verdict on one output: see the module's formulas. All fields are what went into it.

    ``rms``, ``relative`` and ``cosine`` are over the same inputs as ``torch_rms``. ``torch_relative``: PyTorch's error
    relative to the reference's rms; ``unstable``: it is above :func:`stable_limit`. ``low`` and ``high``: the interval of
    the ratio over other inputs (:mod:`..check.interval`); a ratio just above the factor fails only if ``low`` exceeds it.
    """

    torch_rms: float
    floor: float
    factor: Factor
    ratio: float
    passed: bool
    torch_relative: float = 0.0
    unstable: bool = False
    rms: float = 0.0
    relative: float = 0.0
    cosine: float = 1.0
    low: float | None = None
    high: float | None = None

    @classmethod
    def judge(
        cls,
        figures: Figures,
        *,
        torch_rms: float,
        precision: str,
        factor: float,
        agreement: MatchCounts | None = None,
        torch_agreement: MatchCounts | None = None,
        interval: tuple[float, float] | None = None,
    ) -> "Gate":
        """Compare ``figures`` with ``factor`` times PyTorch's errors at ``precision``; a NaN never passes."""
        scale = figures.reference_rms
        floor = rounding_floor(precision, scale)
        allowed = max(torch_rms, floor)
        ratio = figures.rms / allowed if allowed > 0.0 else math.inf if figures.rms else 0.0
        relative = 0.0 if torch_rms <= floor else torch_rms / scale if scale > 0.0 else math.inf
        limit = stable_limit(precision)
        unstable = not relative <= limit
        low, high = interval if interval is not None else (None, None)
        passed = ratio <= factor or (low is not None and low <= factor and ratio <= _UNCERTAIN * factor)
        if agreement is not None and torch_agreement is not None:
            differing = agreement.ratio(torch_agreement, factor)
            lost = torch_agreement.lost / max(1, torch_agreement.count)
            if precision in _HALF_ULP:  # selected rows: their values were matched before they were compared
                passed = passed and differing <= factor
                ratio, unstable = max(ratio, differing), unstable or lost > limit
            else:
                # Numbers of classes or places have no scale: the size of a few differences means nothing.
                few = agreement.lost <= max(agreement.spare, _FEW * agreement.count)
                ratio, unstable = differing if few else max(ratio, differing), unstable and lost > limit
                passed = ratio <= factor
        errors = (figures.rms, figures.relative, figures.cosine)
        return cls(torch_rms, floor, factor, ratio, passed, relative, unstable, *errors, low, high)

    @property
    def straddles(self) -> bool:
        """Whether the limit lies in the interval: more inputs can decide."""
        near = self.ratio <= _UNCERTAIN * self.factor
        return near and self.low is not None and self.high is not None and self.low <= self.factor < self.high

    @property
    def limit(self) -> float:
        """The largest ratio on the golden inputs, which are a part of the inputs of this gate."""
        return self.limit_of(self.factor)

    def limit_of(self, factor: float) -> float:
        """The same for another ``factor``."""
        return factor if self.ratio <= factor or self.high is None else _UNCERTAIN * factor

    @property
    def verdict(self) -> str:
        """``pass``, ``unstable`` or ``fail``."""
        return "fail" if not self.passed else "unstable" if self.unstable else "pass"

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return encode_fields(self)


@dataclass(frozen=True)
class ParityRecord:
    """One output of one stage against the reference.

    ``stage``: ``onnx-fp32``, ``onnx-fp16``, ``engine-fp16`` …; ``file``: what ran, inside the bundle; ``precision``:
    whose PyTorch error the gate compares with. ``figures``, ``agreement`` and ``gate`` cover all data of the export's
    verification; ``torch_rms`` and ``torch_agreement`` are PyTorch's over the GOLDEN cases alone, so that ``attnexport
    check`` can apply the same gate without torch. ``margin``: the difference of two scores that makes a tie. ``detail``
    is free-form: top-1 agreement, data sets, batch sizes.
    """

    stage: str
    file: str
    precision: str
    output: str
    figures: Figures
    gate: Gate
    torch_rms: float
    detail: Annotated[
        dict[str, Any],
        Known(
            top1=Annotated[dict[str, Any], Needed(agreement=Share)],
            iou=Annotated[dict[str, Any], Needed(mean=Share)],
            tokens=Annotated[dict[str, Any], Needed(accuracy=Share)],
            psnr=Annotated[dict[str, Any], Needed(decibels=float)],
        ),
    ]
    agreement: MatchCounts | None = None
    torch_agreement: MatchCounts | None = None
    margin: float = 0.0
