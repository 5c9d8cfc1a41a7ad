"""The index of a Gather that takes windows: ``I[p, q] = offset + p*dilation + q*step``, p the tap and q the window.

Exporters write it as a constant matrix, or as the sum of a constant column (or row) and an unsqueezed Range.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph.shapes import all_integers, constant, producer
from ..graph.size import Size

OTHERWISE = "its windows are laid out otherwise"


@dataclass(frozen=True)
class Windows:
    """``taps`` values ``dilation`` apart, a window every ``step``, from ``offset`` on.

    There are ``ceil(reach / step)`` windows. ``taps_first`` says whether the rows of the matrix are the taps.
    """

    taps: int
    dilation: int
    step: int
    offset: int
    reach: Size
    taps_first: bool

    def fill(self, length: Size) -> bool:
        """Whether these are exactly the windows that fit into an axis of that length."""
        last = length - Size.number(self.offset + self.dilation * (self.taps - 1))
        if self.reach.value is None or last.value is None:
            return self.reach == last
        return -(-self.reach.value // self.step) == -(-last.value // self.step)


def read(index: Any, *, taps_first: bool) -> Windows | str:
    """The windows of an index tensor whose rows (or columns) are the taps; a reason if it has none.

    A constant matrix can be read both ways (``p + q`` is its own transpose); in a sum the constant part is the taps.
    """
    values = constant(index)
    if values is not None:
        return _from_matrix(values, taps_first)
    node = producer(index)
    if node is None or node.op != "Add":
        return "its index is not computed as a sum"
    for fixed, moving in (node.inputs, reversed(node.inputs)):
        taps = constant(fixed)
        if taps is not None and taps.ndim == 2 and 1 in taps.shape:
            found = _from_sum(taps, moving)
            if isinstance(found, Windows) and found.taps_first != taps_first:
                return OTHERWISE
            return found
    return "its index has no constant row or column"


def _progression(values: np.ndarray) -> tuple[int, int] | None:
    """First value and difference of an arithmetic progression; a single value has the difference 1."""
    flat = values.reshape(-1).astype(np.int64)
    step = int(flat[1] - flat[0]) if flat.size > 1 else 1
    if step < 1 or not np.array_equal(flat, flat[0] + step * np.arange(flat.size)):
        return None
    return int(flat[0]), step


def _from_matrix(values: np.ndarray, taps_first: bool) -> Windows | str:
    if values.ndim != 2 or values.dtype.kind not in "iu" or min(values.shape) < 1:
        return "its index is not a matrix"
    rows, columns = _progression(values[:, 0]), _progression(values[0])
    if rows is None or columns is None or rows[0] < 0:
        return "its index does not rise evenly"
    offset, down = rows
    across = columns[1]
    height, width = values.shape
    if not np.array_equal(values, offset + down * np.arange(height)[:, None] + across * np.arange(width)):
        return "its index is not the sum of a row and a column"
    taps, count, dilation, step = (height, width, down, across) if taps_first else (width, height, across, down)
    return Windows(taps, dilation, step, offset, Size.number(count * step), taps_first)


def _from_sum(taps: np.ndarray, moving: Any) -> Windows | str:
    rising = _progression(taps)
    if rising is None or rising[0] < 0:
        return "its taps do not rise evenly"
    unsqueeze = producer(moving)
    if unsqueeze is None or unsqueeze.op != "Unsqueeze":
        return "its windows are not an unsqueezed Range"
    where = constant(unsqueeze.inputs[1])
    span = producer(unsqueeze.inputs[0])
    if where is None or where.size != 1 or span is None or span.op != "Range":
        return "its windows are not an unsqueezed Range"
    taps_first = taps.shape[1] == 1
    axis = int(where.reshape(-1)[0]) % 2
    if taps.size > 1 and (axis == 0) != taps_first:
        return "taps and windows lie along one axis"
    start, limit, step = (all_integers(value) for value in span.inputs)
    if start is None or limit is None or step is None or not (start[0].value is not None and step[0].value is not None):
        return "the bounds of its Range are not known"
    if step[0].value < 1 or start[0].value < 0:
        return "its Range does not rise from zero or above"
    offset = rising[0] + start[0].value
    return Windows(int(taps.size), rising[1], step[0].value, offset, limit[0] - start[0], axis == 0)
