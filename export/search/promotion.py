"""The operators that PyTorch's autocast leaves in FP32: the first set that a search tries.

    matrix products, convolutions          FP16, with the bias that follows them
    normalisation, softmax, exp, pow, sum  FP32
    everything else                        the widest type of its operands; a parameter is FP32, a number has no type

Source: torch.amp, "Autocast Op Reference". The target is a multiple of autocast's error, so this set reaches it if the error
comes from roundings that autocast avoids: in a Transformer, the sum along the residual path, which is FP32 because
the position embedding is a parameter. It costs one trial, and is available if time runs out before the ranking is complete.
"""

from collections.abc import Collection

from onnx import NodeProto

from ..precision.graph import GraphIndex, words

_HALF = words("Attention Conv ConvTranspose Einsum Gemm MatMul")
_SINGLE = words(
    "Acos Asin Cosh CumSum Exp GroupNormalization InstanceNormalization LayerNormalization Log LogSoftmax LpNormalization Pow "
    "Reciprocal ReduceL2 ReduceLogSumExp ReduceProd ReduceSum ReduceSumSquare RMSNormalization Sinh Softmax Softplus Tan"
)
_FOLLOWS = words("BatchNormalization PRelu Resize")
"""Operators with the type of their first operand, whatever the type of their parameters."""


def promoted(index: GraphIndex, nodes: Collection[str]) -> frozenset[str]:
    """Return the members of ``nodes`` that autocast computes in FP32, in a normalised model with FP32 inputs."""
    single = {name for name in index.inputs if index.is_single(name)}
    promoted_nodes = set()
    for node in index.nodes:
        if _is_single(index, node, single):
            single.update(node.output)
            promoted_nodes.add(node.name)
    return frozenset(promoted_nodes & set(nodes))


def _is_single(index: GraphIndex, node: NodeProto, single: Collection[str]) -> bool:
    if node.op_type in _HALF:
        return False
    if node.op_type in _SINGLE:
        return True
    if node.op_type in _FOLLOWS:
        return node.input[0] in single
    if _is_bias(index, node):
        return False
    return any(name in single or (name in index.constants and _is_parameter(index, name)) for name in node.input)


def _is_bias(index: GraphIndex, node: NodeProto) -> bool:
    """``x W + b``: one call in PyTorch."""
    if node.op_type != "Add":
        return False
    makers = [index.producer(name) for name in node.input if name not in index.constants]
    return len(makers) == 1 and makers[0] is not None and makers[0].op_type in _HALF


def _is_parameter(index: GraphIndex, name: str) -> bool:
    return index.is_single(name) and bool(index.shapes[name])
