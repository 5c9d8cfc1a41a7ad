"""Shape inference and checks of a model without its large weights: they are quick, and not held to protobuf's 2 GB."""

from __future__ import annotations

import onnx
from onnx import ModelProto

from ...runtime.sessions.large_model import skeleton

__all__ = ["check_model", "inferred", "skeleton", "with_weights"]


def with_weights(light: ModelProto, model: ModelProto) -> ModelProto:
    """``skeleton``'s inverse, after its nodes were rewritten: the weights that inputs stood in for and the header are back."""
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        setattr(light, name, getattr(model, name))
    del light.metadata_props[:], light.graph.metadata_props[:]
    light.metadata_props.extend(model.metadata_props)
    light.graph.metadata_props.extend(model.graph.metadata_props)
    light.graph.doc_string = model.graph.doc_string
    held = {tensor.name for tensor in light.graph.initializer}
    declared = {value.name for value in model.graph.input}
    inputs = [value for value in light.graph.input if value.name in declared]
    del light.graph.input[:]
    light.graph.input.extend(inputs)
    light.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name not in held)
    return light


def inferred(model: ModelProto, *, strict: bool = False) -> ModelProto:
    """A copy with the types and shapes that inference finds, values of shapes followed.

    Raises onnx.shape_inference.InferenceError where shapes do not fit together, which only ``strict`` looks for.
    """
    found = onnx.shape_inference.infer_shapes(skeleton(model), strict_mode=strict, data_prop=True)
    known = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in found.graph.value_info if value.name not in known]
    del found.graph.value_info[:]
    found.graph.value_info.extend(values)
    return with_weights(found, model)


def check_model(model: ModelProto) -> None:
    """Hold a model to ONNX's checker, with strict shape inference.

    Raises onnx.checker.ValidationError or onnx.shape_inference.InferenceError with its first complaint.
    """
    onnx.checker.check_model(skeleton(model), full_check=True)
