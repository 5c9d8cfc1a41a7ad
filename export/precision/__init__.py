"""FP16 and BF16 as strongly typed models: the nodes that stay FP32 (policy), and the necessary casts (casts)."""

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import ModelProto, TensorProto

from .casts import insert_casts, to_half_model
from .graph import GraphIndex, normalise
from .halves import HalfName, HalfType, half_type, prepared
from .policy import Decision, Severity, decide, decide_in

__all__ = [
    "Counts",
    "Decision",
    "HalfName",
    "PrecisionResult",
    "Severity",
    "convert",
    "decide",
    "half_type",
    "to_half_model",
]


@dataclass(frozen=True)
class Counts:
    """The numbers of nodes that compute in FP32, 16 bits and 8 bits, and of casts between FP32 and 16 bits."""

    fp32_nodes: int
    half_nodes: int
    casts: int
    quantised: int = 0


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
    return PrecisionResult(typed.model, tuple(decisions), count(typed.model, half), typed.warnings, half.numpy_name)


def count(model: ModelProto, kind: HalfType) -> Counts:
    """Count the nodes of a typed model. A node that reads dequantised data and weights computes in 8 bits."""
    index = GraphIndex(model)
    single = half = casts = quantised = 0
    for node in index.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        makers = [index.producer(name) for name in node.input[:2]]
        if len(makers) == 2 and all(m is not None and m.op_type == "DequantizeLinear" for m in makers):
            quantised += 1
            continue
        types = {index.types.get(name) for name in (*node.input, *node.output)}
        if node.op_type == "Cast" and {TensorProto.FLOAT, kind.elem} <= types:
            casts += 1
        elif kind.elem in types:
            half += 1
        elif TensorProto.FLOAT in types:
            single += 1
    return Counts(fp32_nodes=single, half_nodes=half, casts=casts, quantised=quantised)
