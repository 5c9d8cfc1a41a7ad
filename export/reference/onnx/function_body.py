"""Operators that the standard defines as a function of others: their bodies, evaluated in FP64 node by node."""

from typing import Any

import numpy as np
import onnx
from onnx import TypeProto, helper

from .call import Call


def function_body(call: Call) -> onnx.FunctionProto | None:
    """The body for this node's inputs, with its attributes in place; None if the standard gives none."""
    try:
        schema: Any = onnx.defs.get_schema(call.node.op_type, call.opset, call.node.domain)
    except onnx.defs.SchemaError:
        return None
    function = onnx.FunctionProto()
    if schema.has_context_dependent_function:
        types = [_type(value) for value in call.inputs]
        text = schema.get_context_dependent_function(call.node.SerializeToString(), types)
        function.ParseFromString(text)
    elif schema.has_function:
        function.CopyFrom(schema.function_body)
    if not function.node:
        return None
    defaults = {name: attribute.default_value for name, attribute in schema.attributes.items()}
    given = {a.name: a for a in call.node.attribute}
    for node in function.node:
        _bind(node, given, defaults)
    return function


def _type(value: object) -> bytes:
    return bytes(_type_proto(value).SerializeToString())


def _type_proto(value: object) -> TypeProto:
    if isinstance(value, np.ndarray):
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        return helper.make_tensor_type_proto(kind, value.shape)
    if isinstance(value, list) and value:
        return helper.make_sequence_type_proto(_type_proto(value[0]))
    return TypeProto()


def _bind(
    node: onnx.NodeProto, given: dict[str, onnx.AttributeProto], defaults: dict[str, onnx.AttributeProto]
) -> None:
    """Put the values of the outer node's attributes where the body refers to them."""
    attributes = []
    for attribute in node.attribute:
        source = attribute
        if attribute.ref_attr_name:
            outer = given.get(attribute.ref_attr_name) or defaults.get(attribute.ref_attr_name)
            if outer is None or not outer.type:
                continue
            source = onnx.AttributeProto()
            source.CopyFrom(outer)
            source.name = attribute.name
        if source.HasField("g"):
            for inner in source.g.node:
                _bind(inner, given, defaults)
        attributes.append(onnx.AttributeProto.FromString(source.SerializeToString()))
    del node.attribute[:]
    node.attribute.extend(attributes)
