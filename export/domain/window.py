"""Sliding windows over n space axes, as the Local operators share them: geometry, NumPy taps, shapes, and body text.

Tap t of K = prod(kernel) is a row-major place in the window; position p reads x_padded[p*stride + place(t)*dilation]
along every space axis. Values are (N, H, D, *S): batch, heads, channels of a head, space; n is the length of
``kernel``, 1, 2 or 3. ``pads`` holds n zeros counts before the axes, then n behind them.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .operator import Array, Context, Dim, attribute, input_dims, positions

GEOMETRY = ("kernel", "dilation", "pads", "stride")
LEADING = 3
"""Axes in front of the space axes: batch, heads, channels."""


def count(
    space: Sequence[Dim], kernel: Sequence[int], dilation: Sequence[int], pads: Sequence[int], stride: Sequence[int]
) -> list[Dim]:
    """How many positions each space axis has, where its length is known."""
    return [
        positions(size + pads[axis] + pads[axis + len(kernel)], dilation[axis] * (kernel[axis] - 1) + 1, stride[axis])
        if isinstance(size, int)
        else None
        for axis, size in enumerate(space)
    ]


def taps(
    x: Array, kernel: Sequence[int], dilation: Sequence[int], pads: Sequence[int], stride: Sequence[int]
) -> Iterator[Array]:
    """For each tap in row-major order, what every position reads there: views (N, H, D, *Q) of x padded with zeros.

    Raises ValueError where x has another number of space axes than the kernel.
    """
    n = len(kernel)
    if x.ndim != LEADING + n:
        raise ValueError(f"x of {x.ndim} axes does not have {n} space axes")
    padded = np.pad(x, [(0, 0)] * LEADING + [(pads[axis], pads[axis + n]) for axis in range(n)])
    counts = [int(size) for size in count(x.shape[LEADING:], kernel, dilation, pads, stride) if isinstance(size, int)]
    for places in _places(counts, kernel, dilation, stride):
        yield padded[places]


def weighed_windows(
    weights: Array, counts: int | Sequence[int], value: Array, window: Mapping[str, Sequence[int]]
) -> Array:
    """The taps of ``value`` as one array (N, H, D, K, *P), for ``weights`` (N, H, ..., K, *P) whose axes of places have ``counts``.

    Raises ValueError if the weights do not fit the windows.
    """
    places, positions = int(np.prod(window["kernel"])), weights.shape[-len(window["kernel"]) :]
    if any(count != places for count in np.atleast_1d(counts)):
        raise ValueError(f"{counts} weights do not fit {places} places of the window")
    windows = np.stack(list(taps(value, **window)), LEADING)
    if windows.shape[LEADING + 1 :] != positions:
        raise ValueError(f"the weights have the positions {positions}, the windows have {windows.shape[LEADING + 1 :]}")
    return windows


def folded(
    columns: Array,
    space: Sequence[int],
    *,
    kernel: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[int],
    stride: Sequence[int],
) -> Array:
    """Columns (N, H, D, K, *P) added back to where taps read them: (N, H, D, *space). What falls on the padding is dropped."""
    n = len(kernel)
    padded = [size + pads[axis] + pads[axis + n] for axis, size in enumerate(space)]
    y = np.zeros((*columns.shape[:LEADING], *padded), columns.dtype)
    for tap, places in enumerate(_places(columns.shape[LEADING + 1 :], kernel, dilation, stride)):
        y[places] += columns[:, :, :, tap]
    inner = tuple(slice(pads[axis], pads[axis] + size) for axis, size in enumerate(space))
    cut: Array = y[(slice(None),) * LEADING + inner]
    return cut


def _places(
    counts: Sequence[int], kernel: Sequence[int], dilation: Sequence[int], stride: Sequence[int]
) -> Iterator[tuple[slice, ...]]:
    """For each tap in row-major order, the slices of a padded value that all positions read there."""
    for place in np.ndindex(*kernel):
        entries = zip(place, dilation, counts, stride, strict=True)
        slices = (slice(tap * hole, tap * hole + (length - 1) * step + 1, step) for tap, hole, length, step in entries)
        yield (slice(None),) * LEADING + tuple(slices)


def positions_of(context: Context, over_positions: int, over_space: int) -> list[Dim] | None:
    """The position axes inside an inference function: of the input that has them, else counted from a windowed input."""
    query, key = input_dims(context, over_positions), input_dims(context, over_space)
    if query is None and key is None:
        return None
    known: list[Dim] = [None] * len(attribute(context, "kernel")) if query is None else query[LEADING:]
    if key is None:
        return known
    return better_known(known, count(key[LEADING:], *(attribute(context, name) for name in GEOMETRY)))


def better_known(mine: Sequence[Dim], theirs: Sequence[Dim]) -> list[Dim]:
    """The same dimensions in two descriptions: numbers where one of them has a number."""
    return [a if isinstance(a, int) or b is None else b for a, b in zip(mine, theirs, strict=True)]


def index_text(x: str) -> str:
    """Body text: ``counts`` (n,), ``taps`` (1,) = K, ``places`` (1,) = prod(counts) and ``index`` (K, places) into x.

    ``index`` counts the values of the padded space of ``x`` in row-major order. One text for any n: coordinates come
    from NonZero of ones.
    """
    return f"""
        kernel = Constant <value_ints: ints = @kernel> ()
        dilation = Constant <value_ints: ints = @dilation> ()
        pads = Constant <value_ints: ints = @pads> ()
        stride = Constant <value_ints: ints = @stride> ()
        zero = Constant <value = int64 {{0}}> ()
        one = Constant <value = int64 {{1}}> ()
        three = Constant <value = int64 {{3}}> ()
        first = Constant <value = int64[1] {{0}}> ()
        second = Constant <value = int64[1] {{1}}> ()
        n_row = Shape (kernel)
        n = Squeeze (n_row)
        rank = Add (n, three)
        space_axes = Range (three, rank, one)
        space = Shape <start: int = 3> ({x})
        two = Constant <value = int64[1] {{2}}> ()
        pads_shape = Concat <axis: int = 0> (two, n_row)
        pads_by_end = Reshape (pads, pads_shape)
        pads_sum = ReduceSum <keepdims: int = 0> (pads_by_end, first)
        size = Add (space, pads_sum)
        below = Sub (kernel, one)
        reach = Mul (dilation, below)
        free = Sub (size, reach)
        last = Sub (free, one)
        hops = Div (last, stride)
        counts = Add (hops, one)
        taps = ReduceProd (kernel)
        places = ReduceProd (counts)
        axis_row = Range (zero, n, one)
        axis_column = Unsqueeze (axis_row, second)
        is_inner = Greater (axis_row, axis_column)
        inner = Where (is_inner, size, one)
        weight = ReduceProd (inner, second)
        dilation_column = Unsqueeze (dilation, second)
        stride_column = Unsqueeze (stride, second)
        tap_ones = ConstantOfShape <value = int64[1] {{1}}> (kernel)
        tap_places = NonZero (tap_ones)
        tap_weight = Mul (dilation_column, weight)
        tap_parts = Mul (tap_places, tap_weight)
        tap_index = ReduceSum <keepdims: int = 0> (tap_parts, first)
        tap_column = Unsqueeze (tap_index, second)
        position_ones = ConstantOfShape <value = int64[1] {{1}}> (counts)
        position_places = NonZero (position_ones)
        position_weight = Mul (stride_column, weight)
        position_parts = Mul (position_places, position_weight)
        position_index = ReduceSum <keepdims: int = 0> (position_parts, first)
        index = Add (tap_column, position_index)
        length = ReduceProd (size)
    """


def windows_text(x: str) -> str:
    """Body text after ``index_text``: ``{x}_windows`` (N, H, D, K, places) of ``x`` (N, H, D, *S)."""
    return f"""
        {x}_padded = Pad ({x}, pads, , space_axes)
        {x}_front = Shape <start: int = 0, end: int = 3> ({x})
        {x}_flat_shape = Concat <axis: int = 0> ({x}_front, length)
        {x}_flat = Reshape <allowzero: int = 1> ({x}_padded, {x}_flat_shape)
        {x}_windows = Gather <axis: int = 3> ({x}_flat, index)
    """
