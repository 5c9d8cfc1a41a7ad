"""F.unfold as exporters spell it out: two Gathers, a Transpose and a Reshape become one Im2Col.

    Gather(x, I_h, axis=2) -> Gather(., I_w, axis=4) -> Transpose(0,1,2,4,3,5) -> Reshape(N, C*kh*kw, Lh*Lw)

Proved, not guessed: both indices are window matrices (see index_matrix.py) whose windows fill their axis, and the Reshape's shape is
that of the columns. What of it cannot be proved is left as it is, with the reason.
"""

from __future__ import annotations

from typing import Any

from .index_matrix import Windows, read
from .linear import Linear
from .rule import Raise
from .sizes import integers, length, producer

OP = "Im2Col"


def match(node: Any) -> Raise | str | None:
    """``node`` is the Reshape. None where the spelling is another; a reason where it is this one and not proved."""
    if node.op != "Reshape":
        return None
    transpose = producer(node.inputs[0])
    if transpose is None or transpose.op != "Transpose" or transpose.attrs.get("perm") != [0, 1, 2, 4, 3, 5]:
        return None
    wide = producer(transpose.inputs[0])
    high = producer(wide.inputs[0]) if wide is not None and wide.op == "Gather" else None
    if high is None or high.op != "Gather" or (high.attrs.get("axis"), wide.attrs.get("axis")) != (2, 4):
        return None
    x = high.inputs[0]
    if x.shape is None or len(x.shape) != 4:
        return "the image is not known to have four axes"
    both: list[Windows] = []
    for name, gather, axis in (("height", high, 2), ("width", wide, 3)):
        windows = read(gather.inputs[1], taps_first=True)
        if isinstance(windows, str):
            return f"{name}: {windows}"
        size = length(x, axis)
        if windows.offset:
            return f"{name}: its windows do not start at zero"
        if size is None or not windows.fill(size):
            return f"{name}: its windows are not proved to fill the axis"
        both.append(windows)
    if reason := _refuse_shape(node, x, both):
        return reason
    attributes = {
        "kernel": [w.taps for w in both],
        "dilation": [w.dilation for w in both],
        "pads": [0, 0, 0, 0],
        "stride": [w.step for w in both],
    }
    return Raise(OP, x, attributes, node)


def _refuse_shape(node: Any, x: Any, both: list[Windows]) -> str | None:
    """Of the three sizes at most one may be -1; the others must be those of the columns."""
    wanted = integers(node.inputs[1])
    if wanted is None or len(wanted) != 3:
        return "the shape of its Reshape is not known"
    channels = length(x, 1)
    counts = [w.reach for w in both]
    area = None
    if all(c.known for c in counts):
        area = Linear(-(-counts[0].constant // both[0].step) * -(-counts[1].constant // both[1].step))
    features = None if channels is None else channels.times(both[0].taps * both[1].taps)
    keeps = Linear(0) if not node.attrs.get("allowzero", 0) else None
    free = 0
    for size, expected in zip(wanted, (length(x, 0), features, area), strict=True):
        if size == Linear(-1):
            free += 1
        elif size != expected and not (size == keeps and expected is not features and expected is not area):
            return "its Reshape does not give the columns"
    return "its Reshape leaves more than one size free" if free > 1 else None
