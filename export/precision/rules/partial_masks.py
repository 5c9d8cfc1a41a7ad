"""A constant mask that leaves a value in every row: -1e9 becomes -32752, which hides as well.

    Add(scores, [[0, -1e9], [-1e9, 0]])  ->  Softmax        blocks of local attention, causal masks

The converter writes half of FP16's range, so that a score may be added, and two such masks. What remains is that a
hidden score beyond 32752 would come back, and that the sum has three digits: a measurement may drop this.
"""

from __future__ import annotations

from ..graph import GraphIndex
from ..halves import HalfType
from ..masks import carriers, is_partial
from .rule import Matches, PrecisionRule

_CARRIES = "it carries the large values that the mask {name!r} brings in"


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield nodes that put a partial mask on scores, and what is computed from those."""
    for node in index.nodes:
        for name in node.input:
            if index.is_single(name) and is_partial(index, node, name, half):
                yield node, f"the mask {name!r} is beyond {half.title} where it hides"
                for user in carriers(index, node):
                    yield user, _CARRIES.format(name=name)


RULE = PrecisionRule("partial_masks", "caution", find, masks=True)
