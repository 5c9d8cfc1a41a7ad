"""Tensor.unfold as the TorchScript exporter spells it: a Slice for each window, its axis moved to the end, all of them stacked.

    Concat(axis=a) of Unsqueeze(Transpose(Slice(x, p*step, p*step + size, axis=a)), a), p = 0, 1, …
        ->  Unfold(x, axis=a, size, step)

Verified: the Slices have one length, are evenly spaced and in order, and there are as many as fit; otherwise the axis is
cropped to what they cover. Along the last axis nothing is moved, and the same graph is a loop over taps, each with all
places: the longer one of the two is the places.
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from ..graph.shapes import size_of
from ..graph.size import Size
from .branches import Branches, BranchOperator, TapLeaf
from .grid import TapGrid
from .joins import FEWEST, stacked
from .rule import Match, RaisingRule, domain_op
from .views import AxisSlice
from .windows import crop


def find(node: Any) -> Match[tuple[TapGrid, dict[str, Any]]] | str | None:
    """``node`` is the Concat. Other rules give the reasons to refuse slices."""
    if node.op != "Concat" or len(node.inputs) < 2 or node.outputs[0].shape is None:
        return None
    axis = node.attrs["axis"] % len(node.outputs[0].shape)
    tree = Branches().find(tuple(node.inputs))
    inner = None if tree is None else stacked(tree, axis)
    perm = None
    if isinstance(inner, BranchOperator) and inner.node.op == "Transpose":
        perm = list(inner.node.attrs.get("perm", ()))
        inner = inner.inputs[0]
    if not isinstance(inner, TapLeaf) or len(inner.grid.taps) != 1 or inner.grid.entries:
        return None
    grid = inner.grid
    (places,) = grid.taps
    part, order = grid.first.parts[places.axis], [a for a in range(inner.rank) if a != axis]
    in_order = grid.order == tuple(range(places.count)) and grid.first.kept == tuple(range(len(grid.first.parts)))
    if places.axis != axis or not in_order or (perm or list(range(inner.rank))) != [*order, axis]:
        return None
    reach = part.reach.value
    if perm is None and places.count >= FEWEST and (reach is None or reach >= places.count):
        return None
    if part.step != 1 or reach is None:
        return "its windows are dilated, or their length is not known"
    attributes = {"axis": axis, "size": reach, "step": places.dilation}
    return Match(node, ("Unfold",), (grid, attributes))


def build(emit: GraphBuilder, match: Match[tuple[TapGrid, dict[str, Any]]]) -> Value:
    """Unfold of the values that the windows cover."""
    grid, attributes = match.data
    return domain_op(emit, "Unfold", _covered(emit, grid), attributes)


RULE = RaisingRule("stacked_windows", find, build)


def _covered(emit: GraphBuilder, grid: TapGrid) -> Value:
    """The base, cropped to the windows. Fewer values than a step behind the last window stay: they add no window."""
    (places,) = grid.taps
    sizes = [size_of(grid.base, axis) for axis in range(len(grid.first.parts))]
    behind = sizes[places.axis] - grid.first.parts[places.axis].reach - Size.number(places.last)
    fits = places.start == 0 and behind.value is not None and behind.value < places.dilation
    parts = zip(grid.first.parts, sizes, strict=True)
    whole = all(axis == places.axis or part == AxisSlice(0, 1, size) for axis, (part, size) in enumerate(parts))
    return grid.base if fits and whole else crop(emit, grid)
