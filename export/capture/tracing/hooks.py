"""Hooks on a module while it is traced: sizes that are equal are stated, and only tensors are returned.

torch.export gives each input's axis a size of its own and learns that two are equal where an operator needs it. Before that, the
length of ``cat((a, b))`` is the sum of two sizes, of which nothing can be told; afterwards it is 2N. Which range a size has, torch keeps
to itself while it traces (it says 2 and more of each), so that is noted here too.

torch.export keeps numbers, strings and None among the outputs as constants, and torch.onnx (2.13) then fails: "'int' object has no
attribute 'name'". A size that a model returns (``x.shape[0]``) would be one more output that the module's own tensors do not have.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._pytree import tree_leaves
from torch.utils._sympy.value_ranges import ValueRanges

from ....runtime.spec import TensorSpec
from ...forward.call import arrange
from ...forward.outputs import flatten


@contextmanager
def shared_axes(module: torch.nn.Module, specs: Sequence[TensorSpec]) -> Iterator[Mapping[Any, Any]]:
    """Inside, ``module`` begins by stating which of its inputs' sizes are equal.

    Gives torch's ValueRanges of each size, filled when forward begins.
    """
    ranges: dict[Any, Any] = {}
    places: dict[str, list[tuple[int, int]]] = {}
    for number, spec in enumerate(specs):
        for place, axis in enumerate(spec.axes):
            if axis.symbol is not None:
                places.setdefault(axis.symbol, []).append((number, place))
    args, kwargs = arrange(module, [spec.name for spec in specs], range(len(specs)))

    def in_order(given: tuple[Any, ...], named: Mapping[str, Any]) -> list[Any]:
        return [*tree_leaves(given), *(leaf for name in kwargs for leaf in tree_leaves(named[name]))]

    def state(_: torch.nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        tensors = dict(zip(in_order(args, kwargs), in_order(given, named), strict=True))
        for (first, axis), *others in places.values():
            size: Any = tensors[first].shape[axis]
            for number, place in others:
                torch._check(size == tensors[number].shape[place])
            if isinstance(size, torch.SymInt):
                ranges[size.node.expr] = ValueRanges(specs[first].axes[axis].min, specs[first].axes[axis].max)

    handle = module.register_forward_pre_hook(state, with_kwargs=True)
    try:
        yield ranges
    finally:
        handle.remove()


@contextmanager
def tensors_only(module: torch.nn.Module) -> Iterator[None]:
    """Inside, ``module`` gives the tuple of its tensors, in the order of torch's pytree."""

    def tensors(_: torch.nn.Module, __: tuple[Any, ...], result: Any) -> tuple[torch.Tensor, ...]:
        return tuple(flatten(result))

    handle = module.register_forward_hook(tensors)
    try:
        yield
    finally:
        handle.remove()
