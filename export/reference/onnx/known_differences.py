"""Where ONNX Runtime's CPU provider is known to differ from the standard, and what the standard says."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .call import Call


@dataclass(frozen=True)
class KnownDifference:
    """``applies`` tells the calls that it explains."""

    operators: frozenset[str]
    applies: Callable[[Call], bool]
    explanation: str


def _same_and_dilated(call: Call) -> bool:
    return call.text("auto_pad", "NOTSET").startswith("SAME") and any(d > 1 for d in call.integers("dilations") or ())


def _nearest_and_reflected(call: Call) -> bool:
    return call.text("mode", "") == "nearest" and call.text("padding_mode", "") == "reflection"


def _negative_axis_and_policy(call: Call) -> bool:
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    return policy != "stretch" and any(axis < 0 for axis in call.integers("axes") or ())


def _beyond_integers(call: Call) -> bool:
    x = call.array(0)
    return x.dtype == np.float64 and not bool((np.abs(x) < 2.0**31).all())


def _has_nan(call: Call) -> bool:
    return any(isinstance(v, np.ndarray) and v.dtype == np.float64 and bool(np.isnan(v).any()) for v in call.inputs)


KNOWN_DIFFERENCES = (
    KnownDifference(
        frozenset({"AveragePool", "LpPool", "MaxPool"}),
        _same_and_dilated,
        "with auto_pad SAME, ONNX Runtime leaves the dilation out of the padding and returns fewer windows than the "
        "ceil(size / stride) of the standard",
    ),
    KnownDifference(
        frozenset({"MaxUnpool"}),
        lambda call: call.present(2),
        "ONNX Runtime counts the indices in output_shape; the standard counts them in the tensor that the pool read",
    ),
    KnownDifference(
        frozenset({"GridSample"}),
        _nearest_and_reflected,
        "ONNX Runtime rounds a coordinate before it reflects it; the reference reflects first, as PyTorch does",
    ),
    KnownDifference(
        frozenset({"Resize"}),
        _negative_axis_and_policy,
        "ONNX Runtime does not count negative axes from the end under keep_aspect_ratio_policy; the standard does",
    ),
    KnownDifference(
        frozenset({"NonZero"}),
        lambda call: call.array(0).ndim == 0,
        "for a scalar ONNX Runtime returns the shape (1, N); the standard says (0, N)",
    ),
    KnownDifference(
        frozenset({"Dropout"}),
        lambda call: call.opset < 12,
        "ONNX Runtime's mask at inference is zeros; the standard leaves it open before opset 12, which demands ones",
    ),
    KnownDifference(
        frozenset({"ReduceMean"}),
        lambda call: call.array(0).size == 0,
        "the mean of no elements is 0 in ONNX Runtime; the standard does not define it",
    ),
    KnownDifference(
        frozenset({"MaxPool", "ReduceMax", "ReduceMin"}),
        _has_nan,
        "ONNX Runtime drops NaN among other values; the reference returns it, as PyTorch and NumPy do",
    ),
    KnownDifference(
        frozenset({"Cast", "CastLike"}),
        _beyond_integers,
        "the standard does not define the integer of a number that the type does not hold",
    ),
    KnownDifference(
        frozenset({"MatMulNBits"}),
        lambda call: call.integer("accuracy_level", 0) == 4,
        "with accuracy_level 4 ONNX Runtime rounds the other matrix to 8 bits; the reference does not",
    ),
    KnownDifference(
        frozenset({"Resize"}),
        lambda call: call.array(0).dtype != np.float64,
        "ONNX Runtime cuts off the fractions of resized integers; the standard does not define their rounding",
    ),
)
"""The first that applies explains a difference."""


def known_difference(call: Call) -> str | None:
    """What explains that ONNX Runtime and the reference differ, None if nothing does."""
    for known in KNOWN_DIFFERENCES:
        if call.node.op_type in known.operators and known.applies(call):
            return known.explanation
    return None
