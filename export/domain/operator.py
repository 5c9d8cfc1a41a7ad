"""What one operator of the domain consists of, and the small vocabulary that its schema and body are written with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy.typing as npt
import onnx
from onnx.defs import OpSchema

DOMAIN = "attnexport"
VERSION = 1
BODY_OPSET = 18

FLOATS = ("tensor(float16)", "tensor(float)", "tensor(double)")
"""Types of an operator that multiplies."""
MOVABLE = (*FLOATS, "tensor(int8)", "tensor(uint8)", "tensor(int32)", "tensor(int64)", "tensor(bool)")
"""Types of an operator that only moves values."""

Dim = int | str | None
"""A known size, a symbol, or nothing known."""
Array = npt.NDArray[Any]
Context = Any
"""What onnx hands to an inference function."""
Infer = Callable[[Context], Sequence[Dim] | None]
"""The dimensions of the output; None if they are not known."""
_Kind = OpSchema.AttrType


@dataclass(frozen=True)
class Operator:
    """One operator: its schema, its NumPy reference, and its portable body in standard operators.

    ``overload(node)`` names the body that a node needs, where one text cannot serve all attributes and optional
    inputs; ``body(overload)`` is that text.
    """

    name: str
    schema: OpSchema
    reference: Callable[..., Any]
    body: Callable[..., onnx.FunctionProto]
    overload: Callable[[onnx.NodeProto], str] | None = None


@dataclass(frozen=True)
class Attributes:
    """An operator's attributes: names of required integers, integer lists and strings; and optional ones by default value."""

    ints: Sequence[str] = ()
    lists: Sequence[str] = ()
    strings: Sequence[str] = ()
    defaults: Mapping[str, str | float] = field(default_factory=dict)

    def formal(self) -> list[OpSchema.Attribute]:
        """Return them as onnx's schemas have them."""
        kinds = ((self.ints, _Kind.INT), (self.lists, _Kind.INTS), (self.strings, _Kind.STRING))
        required = [OpSchema.Attribute(name, kind) for names, kind in kinds for name in names]
        optional = [
            OpSchema.Attribute(name, onnx.helper.make_attribute(name, value)) for name, value in self.defaults.items()
        ]
        return required + optional


def schema(
    name: str,
    doc: str,
    *,
    inputs: Sequence[tuple[str, str]],
    output: str,
    types: Sequence[str],
    infer: Infer,
    attributes: Attributes,
    optional: Sequence[str] = (),
) -> OpSchema:
    """Return the schema of a domain operator with one output of type ``T``; ``infer`` returns its shape.

    ``inputs`` are (name, type) pairs; ``optional`` names the inputs that may be absent.
    """
    presence = OpSchema.FormalParameterOption
    made = OpSchema(
        name,
        DOMAIN,
        VERSION,
        doc,
        inputs=[
            OpSchema.FormalParameter(key, kind, param_option=presence.Optional if key in optional else presence.Single)
            for key, kind in inputs
        ],
        outputs=[OpSchema.FormalParameter(output, "T")],
        type_constraints=[("T", list(types), "The type of the values.")],
        attributes=attributes.formal(),
    )
    if hasattr(made, "set_type_and_shape_inference_function"):  # older onnx: the exporter's own shapes are kept
        made.set_type_and_shape_inference_function(lambda context: _set_output(context, infer(context)))
    return made


def function(text: str, overload: str = "") -> onnx.FunctionProto:
    """Parse a body: ONNX text from the operator's name on; the header (domain, opset, overload) is put in front."""
    named = f', overload: "{overload}"' if overload else ""
    header = f'<domain: "{DOMAIN}"{named}, opset_import: ["" : {BODY_OPSET}]>\n'
    return onnx.parser.parse_function(header + text)


def attribute(context: Context, name: str) -> Any:
    """The value of a node's attribute inside an inference function."""
    return onnx.helper.get_attribute_value(context.get_attribute(name))


def has_input(node: onnx.NodeProto, index: int) -> bool:
    """Whether a node is given its optional input."""
    return len(node.input) > index and bool(node.input[index])


def input_dims(context: Context, index: int) -> list[Dim] | None:
    """The dimensions of an input inside an inference function; None when its rank is unknown."""
    kind = context.get_input_type(index)
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    return _dims(kind.tensor_type.shape)


def known_values(context: Context, index: int) -> list[Dim] | None:
    """The values of an int64 input that inference knows: of a constant, or symbols that data propagation found."""
    data = context.get_input_data(index)
    if data is not None:
        return [int(value) for value in onnx.numpy_helper.to_array(data).reshape(-1)]
    symbolic = context.get_symbolic_input(index)
    return None if symbolic is None else _dims(symbolic)


def _dims(shape: onnx.TensorShapeProto) -> list[Dim]:
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in shape.dim]


def _set_output(context: Context, dims: Sequence[Dim] | None) -> None:
    """Give the output the type of input 0 and these dimensions (None: only the type)."""
    kind = context.get_input_type(0)
    if kind is not None:
        context.set_output_type(0, onnx.helper.make_tensor_type_proto(kind.tensor_type.elem_type, dims))


def times(*factors: Dim) -> Dim:
    """The product of dimensions, known where every factor is."""
    known = [factor for factor in factors if isinstance(factor, int)]
    return prod(known) if len(known) == len(factors) else None


def positions(size: Dim, window: int, step: int) -> Dim:
    """How many windows of ``window`` values fit in ``size`` values, ``step`` apart."""
    return (size - window) // step + 1 if isinstance(size, int) else None
