"""The sets of sizes that are measured, and inputs for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...errors import InputError
from ...runtime.inputs.feeds import symbol_axes
from ...runtime.spec import TensorSpec


def batch_symbol(specs: Sequence[TensorSpec]) -> str | None:
    """The symbol of the first input's first axis; None where that is fixed."""
    return specs[0].axes[0].symbol if specs and specs[0].axes else None


def batch_of(specs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> int:
    """Items of one run: the first axis of the first input, where there is one."""
    if not specs or not specs[0].axes:
        return 1
    axis = specs[0].axes[0]
    return axis.opt if axis.symbol is None else sizes[axis.symbol]


def choose_points(
    specs: Sequence[TensorSpec], batches: Sequence[int], given: Mapping[str, int]
) -> list[dict[str, int]]:
    """A size for every symbol, one set for each batch; without batches the smallest and the optimum of the profile.

    Raises InputError for a symbol that is not there, a size out of its range, and batches where the batch is fixed.
    """
    axes = symbol_axes(specs)
    symbol = batch_symbol(specs)
    if unknown := [name for name in given if name not in axes]:
        raise InputError(f"--size names {unknown[0]!r}", f"the free axes are {', '.join(axes) or 'none'}")
    if symbol is None and batches and list(batches) != [batch_of(specs, {})]:
        raise InputError(
            f"--batch {', '.join(map(str, batches))}, and the batch is fixed: {specs[0].describe() if specs else 'no input'}",
            "leave --batch out, or export with a dynamic batch",
        )
    sizes = {name: given.get(name, axis.opt) for name, axis in axes.items()}
    for name, size in sizes.items():
        axis = axes[name]
        if not axis.min <= size <= axis.max:
            raise InputError(f"--size {name}={size} is out of {axis.min}..{axis.max}", "give one within")
    if symbol is None:
        return [sizes]
    axis = axes[symbol]
    wanted = sorted(set(batches) or {sizes[symbol]} if symbol in given else set(batches) or {axis.min, axis.opt})
    if out := [size for size in wanted if not axis.min <= size <= axis.max]:
        raise InputError(
            f"--batch {out[0]} is out of {axis.min}..{axis.max}, which the model was exported for",
            f"export it with --dynamic {specs[0].name}:0={axis.min}:{axis.opt}:{max(out)}",
        )
    return [{**sizes, symbol: size} for size in wanted]
