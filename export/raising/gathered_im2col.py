"""F.unfold as exporters spell it: two Gathers, a Transpose and a Reshape become one Im2Col.

    Gather(x, I_h, axis=2) -> Gather(., I_w, axis=4) -> Transpose(0,1,2,4,3,5) -> Reshape(N, C*kh*kw, Lh*Lw)

Verified: both indices are window matrices (see index_matrix.py) whose windows fill their axis. A Reshape to other axes
(exporters merge it with the view that follows) stays behind the Im2Col: the values are in the same order.
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from ..graph.shapes import all_integers, length, producer
from ..graph.size import Size
from .index_matrix import Windows, read
from .rule import Match, RaisingRule, domain_op


def find(node: Any) -> Match[tuple[Any, dict[str, Any]]] | str | None:
    """``node`` is the Reshape."""
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
            return f"{name}: its windows are not known to fill the axis"
        both.append(windows)
    columns = _gives_columns(node, x, both)
    if not columns and (reason := _refuse_reshape(node)):
        return reason
    attributes = {
        "kernel": [w.taps for w in both], "dilation": [w.dilation for w in both], "pads": [0, 0, 0, 0],
        "stride": [w.step for w in both],
    }  # fmt: skip
    return Match(node, ("Im2Col",), (x, attributes), keep=not columns)


def build(emit: GraphBuilder, match: Match[tuple[Any, dict[str, Any]]]) -> Value:
    """Im2Col of the image."""
    return domain_op(emit, "Im2Col", *match.data)


RULE = RaisingRule("gathered_im2col", find, build)


def _gives_columns(node: Any, x: Any, both: list[Windows]) -> bool:
    """Whether the Reshape's sizes are known to be (N, C*kh*kw, Lh*Lw); one of them may be -1."""
    sizes = all_integers(node.inputs[1])
    if sizes is None or len(sizes) != 3:
        return False
    batch, channels = length(x, 0), length(x, 1)
    features = None if channels is None else channels * Size.number(both[0].taps * both[1].taps)
    high, wide = (w.reach for w in both)
    area = None
    if high.value is not None and wide.value is not None:
        area = Size.number(-(-high.value // both[0].step) * -(-wide.value // both[1].step))
    copied = sizes[0].value == 0 and not node.attrs.get("allowzero", 0)
    known = [copied or sizes[0] == batch, sizes[1] == features, sizes[2] == area]
    open_sizes = [size.value == -1 for size in sizes]
    return sum(open_sizes) <= 1 and all(k or o for k, o in zip(known, open_sizes, strict=True))


def _refuse_reshape(node: Any) -> str | None:
    """A 0 copies a size of the reshaped tensor; only its batch is the same before and after."""
    if node.attrs.get("allowzero", 0):
        return None
    sizes = all_integers(node.inputs[1])
    if sizes is None:
        return "the shape of its Reshape is not known"
    return "its Reshape copies a size of the windows" if Size.number(0) in sizes[1:] else None
