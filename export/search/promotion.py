"""What PyTorch's own autocast leaves in FP32: the first set that a search tries.

    matrix products, convolutions          FP16, with the bias that follows them
    normalisation, softmax, exp, pow, sum  FP32
    everything else                        the widest type of its operands; a parameter is FP32, a number has no type

Source: torch.amp, "Autocast Op Reference". Since the target is a multiple of autocast's error, this set meets it where the error is made
by what autocast avoids: in a Transformer the sum along the residual path, FP32 because the position embedding is a parameter. It
costs one trial, and is there when time runs out before a large model's roundings are ranked.
"""

from __future__ import annotations

from collections.abc import Collection

from onnx import NodeProto

from ..precision.graph import GraphIndex, words

_HALF = words("Attention Conv ConvTranspose Einsum Gemm MatMul")
_SINGLE = words(
    "Acos Asin Cosh CumSum Exp GroupNormalization InstanceNormalization LayerNormalization Log LogSoftmax LpNormalization Pow "
    "Reciprocal ReduceL2 ReduceLogSumExp ReduceProd ReduceSum ReduceSumSquare RMSNormalization Sinh Softmax Softplus Tan"
)
_FOLLOWS = words("BatchNormalization PRelu Resize")
"""They take the type of their first operand, whatever their parameters are."""


def promoted(index: GraphIndex, nodes: Collection[str]) -> frozenset[str]:
    """Those of ``nodes`` that autocast computes in FP32, in a normalised model that reads FP32 inputs."""
    single = {name for name in index.inputs if index.is_single(name)}
    found = set()
    for node in index.nodes:
        if _is_single(index, node, single):
            single.update(node.output)
            found.add(node.name)
    return frozenset(found & set(nodes))


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
