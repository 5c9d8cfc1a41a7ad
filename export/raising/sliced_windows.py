"""Slices of one tensor at every tap of a window, stacked or joined, become one window operator.

    stack([xp[:, :, i:i+H, j:j+W] for i in range(kh) for j in range(kw)], axis)  ->  Im2Col(xp), Reshape, Transpose
    the same over one or three axes, or with the channels last                   ->  Unfold for each axis, Reshape, Transpose

A Concat along an axis of the tensor (``cat`` along the channels) merges the taps with it. Verified from the slices' bounds:
offsets form a full, evenly spaced grid; lengths and strides are equal. If the windows do not reach the end of the axis, it is
cropped first.
"""

from typing import Any

from . import joins
from .rule import Match, RaisingRule


def find(node: Any) -> Match[joins.Joined] | str | None:
    """``node`` is the Concat."""
    joined = joins.find(tuple(node.inputs)) if node.op == "Concat" else None
    if not isinstance(joined, joins.Joined):
        return joined
    return Match(node, joined.ops, joined) if not joined.computes else None


RULE = RaisingRule("sliced_windows", find, joins.concat)
