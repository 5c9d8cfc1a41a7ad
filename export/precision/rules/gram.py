"""A product of a tensor with its own transpose stays FP32, with the following scores up to their softmax.

    energy = MatMul(x, Transpose(x));  Softmax(ReduceMax(energy) - energy)       DANet's channel attention over H*W

Effect: the diagonal is a sum of K squares, so it is always large: activations of rms 8 over 1024 places reach 65536, which
exceeds FP16. The factors must have the same source through data movement and constant factors, and K must exceed 256 or
be unknown. BF16 has enough range. Source: Fu et al., arXiv:1809.02983, section 3.3.
"""

from ..graph import GraphIndex
from ..halves import BF16, HalfType
from ..operators import moves_data
from ..walk import contracted, reached
from .rule import Matches, PrecisionRule

FEW = 256

_PRODUCTS = frozenset({"Einsum", "Gemm", "MatMul"})
_SCORES = frozenset({"Add", "Div", "Max", "Min", "Mul", "Neg", "ReduceMax", "ReduceMin", "Sub"})
_ENDS = frozenset({"LogSoftmax", "Softmax"})


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield products of a tensor with itself, and the nodes from there to a softmax."""
    if half is BF16:
        return
    for node in index.nodes:
        if node.op_type not in _PRODUCTS or len(node.input) < 2:
            continue
        left, right = (_source(index, name) for name in node.input[:2])
        if left != right or left in index.constants:
            continue
        terms = contracted(index, node)
        if terms is not None and terms <= FEW:
            continue
        over = "a number of terms that is not known" if terms is None else f"{terms} terms"
        yield node, f"a tensor times its own transpose over {over}: a sum of squares leaves FP16's range"
        for user in reached(index, node, _SCORES, _ENDS):
            yield user, f"it works on the products of {node.name!r}, which leave FP16's range"


def _source(index: GraphIndex, tensor: str) -> str:
    """The tensor before data movement and constant factors."""
    while (node := index.producer(tensor)) is not None:
        constant_factor = node.op_type in ("Div", "Mul") and len(index.single_inputs(node)) == 1
        if not (moves_data(node) or constant_factor):
            break
        sources = index.single_inputs(node)
        if len(sources) != 1 or (node.op_type == "Div" and node.input[0] != sources[0]):
            break
        tensor = sources[0]
    return tensor


RULE = PrecisionRule("gram", "hazard", find)
