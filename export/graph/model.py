"""Whole models, changed without losing parts: exported from onnx-graphsurgeon, inferred, checked, and at a later opset.

Shape inference and checks see the skeleton of a model, without its large weights: fast, and not limited to protobuf's 2 GB.
"""

from collections.abc import Iterable
from typing import Any

import onnx
import onnx_graphsurgeon as gs
from onnx import ModelProto, version_converter
from onnx.inliner import inline_local_functions

from ...errors import StageError, first_line
from ...runtime.sessions.inferred import infer_light
from ...runtime.sessions.large_model import skeleton as skeleton


def export_graph(
    graph: Any, source: ModelProto, opset_imports: Iterable[onnx.OperatorSetIdProto] | None = None
) -> ModelProto:
    """The model of ``graph``, which onnx-graphsurgeon has read from ``source`` and a pass has changed.

    The header (IR version, producer, domain, model version, doc string, metadata), the functions and the types and shapes
    of inputs and outputs are those of ``source``, and so are the opset imports unless ``opset_imports`` replaces them.
    Metadata of nodes is lost: node names carry their origin (see origin.py).
    """
    imports = list(source.opset_import if opset_imports is None else opset_imports)
    model: ModelProto = gs.export_onnx(graph, opset_imports=imports, ir_version=source.ir_version)
    copy_header(source, model)
    del model.functions[:]
    model.functions.extend(source.functions)
    copy_interface(source, model)
    return model


def copy_header(source: ModelProto, model: ModelProto) -> None:
    """Give ``model``, in place, the producer, domain, version, doc strings and metadata of ``source``."""
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        setattr(model, name, getattr(source, name))
    del model.metadata_props[:], model.graph.metadata_props[:]
    model.metadata_props.extend(source.metadata_props)
    model.graph.metadata_props.extend(source.graph.metadata_props)
    model.graph.doc_string = source.graph.doc_string


def copy_interface(source: ModelProto, model: ModelProto) -> None:
    """Give the inputs and outputs of ``model``, in place, the types, shapes and doc strings that they have in ``source``."""
    for target, values in ((model.graph.input, source.graph.input), (model.graph.output, source.graph.output)):
        del target[:]
        target.extend(values)


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
    light = infer_light(skeleton(model), strict=strict)
    weights = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in light.graph.value_info if value.name not in weights]
    del light.graph.value_info[:]
    light.graph.value_info.extend(values)
    return with_weights(light, model)


def check_model(model: ModelProto) -> None:
    """Check a model with ONNX's checker and strict shape inference.

    Raises onnx.checker.ValidationError or onnx.shape_inference.InferenceError with the first error.
    """
    light = skeleton(model)
    onnx.checker.check_model(light)
    infer_light(light, strict=True, check_type=True)


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
