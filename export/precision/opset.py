"""The opset that a typed model needs: operators take BF16 and 8-bit types from some opset on."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, defs

from ...errors import StageError, first_line
from ..graph.opset import at_opset, opset_of
from .halves import FP16, HalfType

BF16_OPSET = 22
"""ONNX allows BF16 for Conv, pooling, GridSample and others from this opset on."""


def prepared(model: ModelProto, half: HalfType) -> ModelProto:
    """The model itself, or a copy at opset 22 if that gives an operator of the model a BF16 form.

    Raises StageError if ONNX's version converter fails.
    """
    opset = opset_of(model)
    if half is FP16 or opset < 13 or not any(_gains_half(node.op_type, opset, half) for node in _nodes(model)):
        return model
    return at_least(model, BF16_OPSET, "precision")


def at_least(model: ModelProto, opset: int, stage: str) -> ModelProto:
    """The model itself, or a copy at ``opset`` if the model's opset is older.

    Raises StageError, named after ``stage``, if ONNX's version converter fails.
    """
    if opset_of(model) >= opset:
        return model
    try:
        return at_opset(model, opset)
    except Exception as error:  # the converter raises RuntimeError and other classes
        raise StageError(stage, f"the model cannot be converted to opset {opset}: {first_line(error)}") from error


def _nodes(model: ModelProto) -> list[NodeProto]:
    return [*model.graph.node, *(node for function in model.functions for node in function.node)]


def _gains_half(op_type: str, opset: int, half: HalfType) -> bool:
    """Whether the operator has a 16-bit form at opset 22, and none at ``opset``."""

    def has_form(version: int) -> bool:
        try:
            schema = defs.get_schema(op_type, version, "")
        except defs.SchemaError:
            return False
        return any(half.schema_name in constraint.allowed_type_strs for constraint in schema.type_constraints)

    return opset < BF16_OPSET and has_form(BF16_OPSET) and not has_form(opset)
