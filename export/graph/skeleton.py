"""Shape inference and checks on the skeleton of a model, without its large weights: fast, and not limited to protobuf's 2 GB."""

from __future__ import annotations

import onnx
from onnx import ModelProto

from ...runtime.sessions.large_model import skeleton
from .roundtrip import copy_header

__all__ = ["check_model", "inferred", "skeleton", "with_weights"]


def with_weights(light: ModelProto, model: ModelProto) -> ModelProto:
    """Give ``light``, a skeleton of ``model`` that a pass has changed, the weights and the header of ``model`` back."""
    copy_header(model, light)
    present = {tensor.name for tensor in light.graph.initializer}
    declared = {value.name for value in model.graph.input}
    inputs = [value for value in light.graph.input if value.name in declared]
    del light.graph.input[:]
    light.graph.input.extend(inputs)
    light.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name not in present)
    return light


def inferred(model: ModelProto, *, strict: bool = False) -> ModelProto:
    """A copy with the inferred types and shapes; values of shapes are followed.

    Raises onnx.shape_inference.InferenceError if shapes contradict each other; only ``strict`` looks for that everywhere.
    """
    light = onnx.shape_inference.infer_shapes(skeleton(model), strict_mode=strict, data_prop=True)
    weights = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in light.graph.value_info if value.name not in weights]
    del light.graph.value_info[:]
    light.graph.value_info.extend(values)
    return with_weights(light, model)


def check_model(model: ModelProto) -> None:
    """Check a model with ONNX's checker and strict shape inference.

    Raises onnx.checker.ValidationError or onnx.shape_inference.InferenceError with the first error.
    """
    onnx.checker.check_model(skeleton(model), full_check=True)
