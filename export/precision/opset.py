"""The opset that a 16-bit type needs: ONNX lets Conv, pooling, GridSample and others be BF16 from opset 22 on only."""

from __future__ import annotations

import onnx
from onnx import ModelProto, defs, version_converter
from onnx.inliner import inline_local_functions

from ...errors import StageError, first_line
from ..graph.skeleton import skeleton, with_weights
from .graph import opset_of
from .halves import FP16, HalfType

BF16_OPSET = 22


def prepared(model: ModelProto, half: HalfType) -> ModelProto:
    """The model itself, or at opset 22 where an operator of it has no BF16 form before.

    Raises StageError where ONNX's version converter fails.
    """
    opset = opset_of(model)
    if (
        half is FP16
        or not 13 <= opset < BF16_OPSET
        or not any(_gains(node.op_type, opset, half) for node in _nodes(model))
    ):
        return model
    try:
        light = skeleton(model)
        if light.functions:  # the converter would drop them
            light = inline_local_functions(light)
        raised = version_converter.convert_version(light, BF16_OPSET)
    except Exception as error:  # the converter raises RuntimeError and its own classes
        raise StageError(
            "precision", f"the model cannot be brought to opset {BF16_OPSET}: {first_line(error)}"
        ) from error
    return with_weights(raised, model)


def _nodes(model: ModelProto) -> list[onnx.NodeProto]:
    return [*model.graph.node, *(node for function in model.functions for node in function.node)]


def _gains(op_type: str, opset: int, half: HalfType) -> bool:
    def takes(version: int) -> bool:
        try:
            schema = defs.get_schema(op_type, version, "")
        except defs.SchemaError:
            return False
        return any(half.schema_name in constraint.allowed_type_strs for constraint in schema.type_constraints)

    return takes(BF16_OPSET) and not takes(opset)
