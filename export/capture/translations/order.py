"""Order statistics and places in a sorted row, which torch.onnx (2.13) has no translations for.

    kthvalue(x, k)        the last of the k smallest:  TopK(k, smallest)[..., k - 1]
    median(x, dim)        kthvalue with k = (n + 1) // 2: of two middle values torch takes the lower
    searchsorted(b, v)    how many of b are below v (``right``: not above):  sum_j [b_j < v]
    bucketize(v, b)       the same
    sort(x)               TopK of all, whose equal values stay in order, as ``stable=True`` asks; bool and small integers as int32

Which of several equal values an index names is open in torch, too, but for a stable sort. Counting costs a comparison for each of b and
needs no loop: b is short where this is used, as for the buckets of relative positions.
"""

from typing import Any

from onnxscript import opset18 as op

from ....errors import UnsupportedModelError
from .shared import Translations, aten, ints

_INT32, _INT64 = 6, 7


def _count(short: Any, out_int32: bool) -> Any:
    """How many of the last axis are not short."""
    ones: Any = op.Cast(op.Not(short), to=_INT32 if out_int32 else _INT64)
    return op.ReduceSum(ones, ints(-1), keepdims=0)


def _kthvalue(x: Any, k: Any, dim: int = -1, keepdim: bool = False) -> Any:
    count: Any = ints(k) if isinstance(k, int) else op.Reshape(k, ints(1))
    values, places = op.TopK(x, count, axis=dim, largest=0, sorted=1)
    last = [op.Slice(one, op.Sub(count, ints(1)), count, ints(dim)) for one in (values, places)]
    return tuple(last if keepdim else [op.Squeeze(one, ints(dim)) for one in last])


def _median(x: Any, dim: int, keepdim: bool = False) -> Any:
    length = x.shape[dim]
    if not isinstance(length, int):
        raise UnsupportedModelError(
            f"torch.median over axis {dim} of free length has a middle that is not known before the model runs",
            "fix that axis",
        )
    return _kthvalue(x, (length + 1) // 2, dim, keepdim)


def _sort(x: Any, dim: int = -1, descending: bool = False) -> Any:
    """Values and places; a number alone has the place 0."""
    if not len(x.shape):
        return op.Identity(x), op.Constant(value_int=0)
    small = x.dtype.numpy().itemsize < 4 and x.dtype.numpy().kind in "biu"
    axis = dim % len(x.shape)
    length = op.Shape(x, start=axis, end=axis + 1)
    numbers: Any = op.Cast(x, to=_INT32) if small else x
    values, places = op.TopK(numbers, length, axis=axis, largest=int(descending), sorted=1)
    ordered: Any = values
    return op.Cast(ordered, to=int(x.dtype)) if small else ordered, places


def _stable_sort(x: Any, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
    return _sort(x, dim, descending)


def _searchsorted(
    row: Any, values: Any, out_int32: bool = False, right: bool = False, side: str | None = None, sorter: Any = None
) -> Any:
    """row (..., n) ascending, or (n) for all; values (..., m)."""
    if sorter is not None:
        raise UnsupportedModelError("torch.searchsorted has a sorter", "sort the row before the call")
    each, against = op.Unsqueeze(values, ints(-1)), op.Unsqueeze(row, ints(-2))
    # As negations NaN is above all, as it is for torch.
    short: Any = op.Less(each, against) if right or side == "right" else op.LessOrEqual(each, against)
    return _count(short, out_int32)


def _bucketize(values: Any, row: Any, out_int32: bool = False, right: bool = False) -> Any:
    """values of any shape, row (n) ascending."""
    each = op.Unsqueeze(values, ints(-1))
    short: Any = op.Less(each, row) if right else op.LessOrEqual(each, row)
    return _count(short, out_int32)


ORDER: Translations = {
    aten.kthvalue.default: _kthvalue,
    aten.median.dim: _median,
    aten.sort.default: _sort,
    aten.sort.stable: _stable_sort,
    aten.searchsorted.Tensor: _searchsorted,
    aten.bucketize.Tensor: _bucketize,
}
