"""The properties of operators: data movement, elementwise work, and a 16-bit form.

The allowed types of an operator come from its ONNX schema, so all operators of opsets 13 to 23 are known.
"""

from onnx import NodeProto, TensorProto, defs

from .graph import GraphIndex, attribute, subgraphs, words
from .halves import FP16, HalfType

# Each output value is an input value: rounding commutes with these operators, so they take the type of their data.
_MOVEMENT = words(
    "CenterCropPad Compress Concat DepthToSpace Expand Flatten Gather GatherElements GatherND Identity Pad Reshape "
    "ReverseSequence Slice SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze Where"
)
# Data movement unless they combine the values that they write: then ONNX Runtime has no FP16 kernel, and sums lose digits.
_SCATTER = frozenset({"ScatterElements", "ScatterND"})

ELEMENTWISE = words(
    "Abs Acos Acosh Add Asin Asinh Atan Atanh Ceil Celu Clip Cos Cosh Div Elu Erf Exp Floor Gelu HardSigmoid HardSwish "
    "LeakyRelu Log Max Mean Min Mish Mod Mul Neg Pow PRelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh "
    "Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu"
)

# Their float32 data comes from a dtype attribute, they count in floats, or they have a quantisation scale.
_SINGLE_ONLY = words(
    "Bernoulli BlackmanWindow DequantizeLinear DynamicQuantizeLinear EyeLike HammingWindow HannWindow MelWeightMatrix "
    "Multinomial OneHot QuantizeLinear RandomNormal RandomNormalLike RandomUniform RandomUniformLike"
)
# Inputs that stay float32 although the schema allows 16 bits: Resize's region and scales are sizes, not data.
_SINGLE_INPUTS = {("Resize", 1), ("Resize", 2)}

_INTEGERS = frozenset(map(TensorProto.DataType.Value, words("BOOL INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64")))


def standard(node: NodeProto) -> bool:
    """Whether a node is of the default ONNX domain."""
    return node.domain in ("", "ai.onnx")


def moves_data(node: NodeProto) -> bool:
    """Whether every output value is an input value."""
    if not standard(node):
        return False
    return node.op_type in _MOVEMENT or (
        node.op_type in _SCATTER and attribute(node, "reduction", b"none") in (b"none", "none")
    )


def is_integer(dtype: int) -> bool:
    """Whether an ONNX element type is an integer or bool."""
    return dtype in _INTEGERS


class Slots:
    """The inputs and outputs of a node that may have a 16-bit type, from its schema and its float32 tensors."""

    def __init__(self, index: GraphIndex, node: NodeProto, kind: HalfType = FP16) -> None:
        self._halves: tuple[list[bool], list[bool]] | None = None
        if not standard(node) or node.op_type in _SINGLE_ONLY or any(True for _ in subgraphs(node)):
            return
        if node.op_type in _SCATTER and not moves_data(node):
            return
        version = index.opset.get("", index.opset.get("ai.onnx", 1))
        if not defs.has(node.op_type, ""):
            return
        schema = defs.get_schema(node.op_type, version, "")
        half = {c.type_param_str: kind.schema_name in c.allowed_type_strs for c in schema.type_constraints}
        names_in = [schema.inputs[min(i, len(schema.inputs) - 1)].type_str for i in range(len(node.input))]
        names_out = [schema.outputs[min(i, len(schema.outputs) - 1)].type_str for i in range(len(node.output))]
        # A float32 input without a 16-bit choice forces the whole node to FP32. The float32 statistics of
        # LayerNormalization are outputs only and do not.
        for name, tensor in zip(names_in, node.input, strict=True):
            if index.is_single(tensor) and name in half and not half[name]:
                return
        inputs = [half.get(n, False) and (node.op_type, i) not in _SINGLE_INPUTS for i, n in enumerate(names_in)]
        outputs = [half.get(n, False) for n in names_out]
        touched = [
            h for h, t in zip((*inputs, *outputs), (*node.input, *node.output), strict=True) if index.is_single(t)
        ]
        if any(touched):
            self._halves = inputs, outputs

    @property
    def any_half(self) -> bool:
        """Whether the node has a 16-bit form."""
        return self._halves is not None

    def input_half(self, position: int) -> bool:
        """Whether an input is 16-bit in the node's 16-bit form."""
        return self._halves is not None and position < len(self._halves[0]) and self._halves[0][position]

    def output_half(self, position: int) -> bool:
        """Whether an output is 16-bit in the node's 16-bit form."""
        return self._halves is not None and self._halves[1][position]
