"""A constant mask that leaves a value in every row: -1e9 becomes -32752, which also masks.

    Add(scores, [[0, -1e9], [-1e9, 0]])  ->  Softmax        blocks of local attention, causal masks

The converter writes half of FP16's range, so that a score, or two such masks, may be added. Two risks remain: a masked
score beyond 32752 reappears, and the sum has three digits. A measurement may overrule this rule.
"""

from ..graph import GraphIndex
from ..halves import HalfType
from ..masks import carriers, is_partial
from .rule import Matches, PrecisionRule

_CARRIES = "it carries the large values that the mask {name!r} brings in"


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield nodes that apply a partial mask to scores, and the nodes that carry the result."""
    for node in index.nodes:
        for name in node.input:
            if index.is_single(name) and is_partial(index, node, name, half):
                yield node, f"the mask {name!r} is beyond {half.title} where it hides"
                for user in carriers(index, node):
                    yield user, _CARRIES.format(name=name)


RULE = PrecisionRule("partial_masks", "caution", find, masks=True)
