"""Tensor.unfold as exporters spell it: one Gather by a window matrix becomes Unfold, and its window axis moves into place.

    Gather(x, I, axis=a),  I[q, p] = q*step + p   ->   Unfold(x, axis=a, size, step), its last axis moved to a + 1
                                                        (to a if I is transposed)

Verified from the index: the taps are neighbours, and the windows fill the axis. If a matrix can be read both ways, the
reading with fewer taps is used.
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from ..graph.shapes import constant, length, producer
from ..graph.size import Size
from .index_matrix import OTHERWISE, Windows, read
from .rule import Match, RaisingRule, domain_op


def find(node: Any) -> Match[tuple[dict[str, Any], list[int]]] | str | None:
    """``node`` is the Gather."""
    if node.op != "Gather" or len(node.inputs) != 2:
        return None
    x, index = node.inputs
    if constant(x) is not None or not _matrix(index):
        return None
    if x.shape is None:
        return "the rank of its data is not known"
    rank = len(x.shape)
    axis = int(node.attrs.get("axis", 0)) % rank
    size = length(x, axis)
    readings = [_verified(index, taps_first, size) for taps_first in (False, True)]
    verified = [windows for windows in readings if isinstance(windows, Windows)]
    if not verified:
        return next(r for r in readings if isinstance(r, str) and (r != OTHERWISE or readings.count(OTHERWISE) == 2))
    windows = min(verified, key=lambda w: w.taps)
    place = axis if windows.taps_first else axis + 1
    perm = list(range(rank))
    perm.insert(place, rank)
    attributes = {"axis": axis, "size": windows.taps, "step": windows.step}
    return Match(node, ("Unfold",), (attributes, perm))


def build(emit: GraphBuilder, match: Match[tuple[dict[str, Any], list[int]]]) -> Value:
    """Unfold of the data, its window axis moved into place."""
    attributes, perm = match.data
    return emit.transpose(domain_op(emit, "Unfold", match.node.inputs[0], attributes), perm)


RULE = RaisingRule("gathered_unfold", find, build)


def _verified(index: Any, taps_first: bool, size: Size | None) -> Windows | str:
    windows = read(index, taps_first=taps_first)
    if isinstance(windows, str):
        return windows
    if windows.dilation != 1 or windows.offset:
        return "its windows are dilated or do not start at zero"
    if size is None or not windows.fill(size):
        return "its windows are not known to fill the axis"
    return windows


def _matrix(index: Any) -> bool:
    values = constant(index)
    if values is not None:
        return bool(values.ndim == 2 and min(values.shape) > 1)
    node = producer(index)
    terms = [constant(i) for i in node.inputs] if node is not None and node.op == "Add" else []
    return any(term is not None and term.ndim == 2 for term in terms)
