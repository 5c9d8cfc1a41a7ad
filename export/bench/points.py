"""The points of a benchmark: a size for each symbol."""

from collections.abc import Mapping, Sequence

from ...errors import InputError
from ...runtime.inputs.feeds import symbol_axes
from ...runtime.spec import TensorSpec


def batch_symbol(specs: Sequence[TensorSpec]) -> str | None:
    """Return the symbol of the first input's first axis; None if the axis is fixed."""
    return specs[0].axes[0].symbol if specs and specs[0].axes else None


def batch_of(specs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> int:
    """Return the items of one run: the size of the first input's first axis, 1 without one."""
    if not specs or not specs[0].axes:
        return 1
    axis = specs[0].axes[0]
    return axis.opt if axis.symbol is None else sizes[axis.symbol]


def choose_points(
    specs: Sequence[TensorSpec], batches: Sequence[int], fixed_sizes: Mapping[str, int]
) -> list[dict[str, int]]:
    """Return one point for each batch; without ``batches``, the profile's min and opt are used.

    Raises InputError for an unknown symbol, a size out of its range, and ``batches`` of a model with a fixed batch.
    """
    axes = symbol_axes(specs)
    symbol = batch_symbol(specs)
    if unknown := [name for name in fixed_sizes if name not in axes]:
        raise InputError(f"--size {unknown[0]} is not a free axis", f"the free axes are {', '.join(axes) or 'none'}")
    if symbol is None and batches and list(batches) != [batch_of(specs, {})]:
        raise InputError(
            f"--batch {', '.join(map(str, batches))}, but the batch is fixed: {specs[0].describe() if specs else 'no input'}",
            "omit --batch, or export with a dynamic batch",
        )
    sizes = {name: fixed_sizes.get(name, axis.opt) for name, axis in axes.items()}
    for name, size in sizes.items():
        axis = axes[name]
        if not axis.min <= size <= axis.max:
            raise InputError(f"--size {name}={size} is out of {axis.min}..{axis.max}", "pass a size in this range")
    if symbol is None:
        return [sizes]
    axis = axes[symbol]
    chosen = sorted(set(batches) or {sizes[symbol]} if symbol in fixed_sizes else set(batches) or {axis.min, axis.opt})
    if out := [size for size in chosen if not axis.min <= size <= axis.max]:
        raise InputError(
            f"--batch {out[0]} is out of {axis.min}..{axis.max}, the range of the export",
            f"export it with --dynamic {specs[0].name}:0={axis.min}:{axis.opt}:{max(out)}",
        )
    return [{**sizes, symbol: size} for size in chosen]
