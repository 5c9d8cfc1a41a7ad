"""FP16 and BF16 as strongly typed models: the nodes that stay FP32 (policy), and the necessary casts (casts)."""

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import ModelProto

from .casts import insert_casts, to_half_model
from .counts import Counts, count, without_half
from .graph import GraphIndex, normalise
from .halves import HalfName, half_type, prepared
from .policy import Decision, Severity, decide, decide_in

__all__ = [
    "Counts",
    "Decision",
    "HalfName",
    "PrecisionResult",
    "Severity",
    "convert",
    "count",
    "decide",
    "half_type",
    "to_half_model",
]


@dataclass(frozen=True)
class PrecisionResult:
    """The typed model, the decisions, the counts, warnings about lost values, and the type's NumPy name."""

    model: ModelProto
    decisions: tuple[Decision, ...]
    counts: Counts
    warnings: tuple[str, ...]
    half: str = "float16"


def convert(
    model: ModelProto,
    *,
    keep_io: bool = True,
    decisions: Sequence[Decision] | None = None,
    precision: HalfName = "fp16",
) -> PrecisionResult:
    """Return a strongly typed model of a 16-bit type. The nodes in ``decisions`` stay FP32; by default, the rules decide.

    Takes a float32 model of standard operators, opset 13 to 23, and does not change it. ``keep_io`` keeps float32
    inputs and outputs. Raises InputError for a model or a decision that cannot be used, StageError if inference or the
    checker fails.
    """
    half = half_type(precision)
    index = GraphIndex(normalise(prepared(model, half)))
    if decisions is None:
        decisions = decide_in(index, half=half)
    typed = insert_casts(index, [decision.node for decision in decisions], keep_io, half)
    counts = count(typed.model, half)
    warnings = (*typed.warnings, *without_half(typed.model, index, decisions, half))
    return PrecisionResult(typed.model, tuple(decisions), counts, warnings, half.numpy_name)
