"""FP16 and BF16 as strongly typed models: which nodes stay FP32 (policy), and the casts that this needs (casts)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from onnx import ModelProto, TensorProto

from .casts import insert_casts, to_fp16, to_half_model
from .graph import GraphIndex, normalise
from .halves import HalfName, HalfType, half_type
from .opset import prepared
from .policy import Decision, Severity, decide, decide_in

__all__ = [
    "Counts",
    "Decision",
    "PrecisionResult",
    "Severity",
    "convert",
    "decide",
    "half_type",
    "to_fp16",
    "to_half_model",
]


@dataclass(frozen=True)
class Counts:
    """Nodes that compute in FP32 and in 16 bits, and the casts between the two types."""

    fp32_nodes: int
    half_nodes: int
    casts: int


@dataclass(frozen=True)
class PrecisionResult:
    """The typed model, why nodes stayed FP32, how many there are, what the type could not hold, and its NumPy name."""

    model: ModelProto
    decisions: tuple[Decision, ...]
    counts: Counts
    warnings: tuple[str, ...]
    half: str = "float16"


def convert(
    model: ModelProto,
    *,
    keep_io: bool = True,
    extra_keep: Collection[str] = (),
    decisions: Sequence[Decision] | None = None,
    precision: HalfName = "fp16",
) -> PrecisionResult:
    """A strongly typed model of a 16-bit type by the static policy; ``extra_keep`` names further nodes that stay FP32.

    ``decisions`` takes the policy's place, with its reasons: what a search decided.

    Takes a float32 model of standard operators, opset 13 to 23, and does not change it. ``keep_io`` keeps float32
    inputs and outputs. Raises InputError for a model or a name that cannot be used, StageError where inference or the
    checker fails.
    """
    half = half_type(precision)
    index = GraphIndex(normalise(prepared(model, half)))
    if decisions is None:
        decisions = decide_in(index, half=half)
    decided = {decision.node for decision in decisions}
    asked = [
        Decision(name, "asked", "the caller asked for it", "asked")
        for name in dict.fromkeys(extra_keep)
        if name not in decided
    ]
    warnings: list[str] = []
    typed = insert_casts(index, [*decided, *(decision.node for decision in asked)], keep_io, warnings, half)
    return PrecisionResult(typed, (*decisions, *asked), _count(typed, half), tuple(warnings), half.numpy_name)


def _count(model: ModelProto, kind: HalfType) -> Counts:
    index = GraphIndex(model)
    single = half = casts = 0
    for node in index.nodes:
        types = {index.types.get(name) for name in (*node.input, *node.output)}
        if node.op_type == "Cast" and {TensorProto.FLOAT, kind.elem} <= types:
            casts += 1
        elif kind.elem in types:
            half += 1
        elif TensorProto.FLOAT in types:
            single += 1
    return Counts(fp32_nodes=single, half_nodes=half, casts=casts)
