"""The angle of a position encoding that the graph computes stays FP32, with its sine or cosine.

    p = Cast<float>(Range(0, n));  a = Mul(p, frequency);  y = Sin(a)         all but p's integers

The chain is followed backward from Sin and Cos through elementwise operators, data movement and outer products. It belongs
to positions if it ends in counted numbers (a cast integer, Range, CumSum) or in an input of the model. The sine of a
layer's output (SIREN) does not. A table that was folded to a constant is exact already.

Effect: FP16 counts exactly to 2048, and its numbers near 512 rad are half a radian apart: neighbouring positions get the
same code.
"""

from onnx import NodeProto

from ..graph import GraphIndex
from ..halves import HalfType
from ..operators import ELEMENTWISE, is_integer, moves_data
from ..walk import contracted
from .rule import Matches, PrecisionRule

_COUNTED = frozenset({"CumSum", "Range"})
_PRODUCTS = frozenset({"Einsum", "Gemm", "MatMul"})


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield the sines and cosines of positions, and the nodes that compute their angles."""
    for node in index.nodes:
        if node.op_type not in ("Cos", "Sin"):
            continue
        chain = _angle(index, node.input[0])
        if chain is not None:
            yield node, f"the {'sine' if node.op_type == 'Sin' else 'cosine'} of a position's angle"
            for member in chain:
                yield (
                    member,
                    f"it makes the angle of a position encoding ({node.name!r}): {half.title} counts exactly only up "
                    f"to {half.counts_to}",
                )


def _angle(index: GraphIndex, start: str) -> list[NodeProto] | None:
    """The nodes between positions and an angle; None if it is not an angle of positions."""
    pending, seen, found, counted = [start], {start}, [], False
    while pending:
        tensor = pending.pop()
        node = index.producer(tensor)
        if node is None:
            counted = counted or tensor in index.inputs
            continue
        made_whole = node.op_type == "Cast" and is_integer(index.types[node.input[0]])
        if node.op_type in _COUNTED or made_whole:
            counted = True
        elif not (
            node.op_type in ELEMENTWISE
            or node.op_type == "Cast"
            or moves_data(node)
            or (node.op_type in _PRODUCTS and contracted(index, node) == 1)
        ):
            return None
        found.append(node)
        if made_whole:
            continue
        fresh = [name for name in node.input if name not in seen and index.is_single(name)]
        seen.update(fresh)
        pending += [name for name in fresh if name not in index.constants]
    return found if counted else None


RULE = PrecisionRule("positions", "hazard", find)
