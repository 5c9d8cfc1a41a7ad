"""An infinite mask keeps its node in FP32, with the scores that it masks.

    Add(scores, -inf)  ->  Softmax          -inf is exact in FP16, but a score that overflowed plus it is NaN

Only a score beyond 65504 becomes NaN, and such a score is wrong in FP16 without the mask too.
"""

from ..graph import GraphIndex
from ..halves import HalfType, extent
from ..masks import MASKING, carriers
from .rule import Matches, PrecisionRule


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield nodes that add or select an infinite constant, and the nodes that carry the result."""
    for node in index.nodes:
        if node.op_type not in MASKING:
            continue
        for name in node.input:
            if index.is_single(name) and (array := index.value(name)) is not None and extent(array).infinite:
                yield node, f"constant {name!r} is infinite: in {half.title} an overflowed value plus it would be NaN"
                for user in carriers(index, node):
                    yield user, f"it carries the large values that constant {name!r} brings in"


RULE = PrecisionRule("infinities", "caution", find, masks=True)
