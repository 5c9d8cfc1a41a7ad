"""The opset of a model, and its conversion to a later one."""

from __future__ import annotations

from onnx import ModelProto, version_converter
from onnx.inliner import inline_local_functions

from ...errors import StageError, first_line
from .skeleton import skeleton, with_weights


def opset_of(model: ModelProto) -> int:
    """The version of the standard operators that a model uses; 0 if it names none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def at_opset(model: ModelProto, opset: int) -> ModelProto:
    """A copy of a model at a later opset. Functions are inlined, because ONNX's converter drops them.

    Raises whatever ONNX's version converter raises: RuntimeError and classes of its own.
    """
    light = skeleton(model)
    if light.functions:
        light = inline_local_functions(light)
    return with_weights(version_converter.convert_version(light, opset), model)


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
