"""What a model gives back, flattened and named as the module itself names it."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from ...errors import InputError


def flatten(result: Any) -> list[torch.Tensor]:
    """The tensors of a (nested) result in the order of torch's pytree, which is the order of the exported outputs."""
    leaves = pytree.tree_leaves(result)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def make_known(result: Any) -> None:
    """Let torch take dataclasses in a result apart, here and in torch.export, which does so only with those it was told of."""
    for leaf in pytree.tree_leaves(result):
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            torch.export.register_dataclass(
                type(leaf), serialized_type_name=f"{type(leaf).__module__}.{type(leaf).__qualname__}"
            )
            make_known(leaf)


def output_names(result: Any, wished: Sequence[str] = (), inputs: Sequence[str] = ()) -> tuple[str, ...]:
    """A name per tensor: the wished ones, else keys and positions of the result's own structure.

    A single tensor is ``output``; ``{"logits": a, "aux": (b, c)}`` gives ``logits, aux_0, aux_1``. What is called like one of ``inputs``
    gets ``_out`` behind it: the values of a graph have one name each.
    Raises InputError when the number of wished names is not the number of outputs, or the model gives none.
    """
    paths = [path for path, leaf in _leaves(result) if isinstance(leaf, torch.Tensor)]
    if not paths:
        kinds = sorted({type(leaf).__name__ for _, leaf in _leaves(result)}) or ["empty result"]
        raise InputError(
            f"the model gives no tensor but {', '.join(kinds)}",
            "return a tensor, or tuples, dicts or dataclasses of tensors",
        )
    if wished:
        if len(wished) != len(paths):
            raise InputError(f"{len(wished)} output names for {len(paths)} outputs", "give one name per output tensor")
        if taken := [name for name in wished if name in inputs]:
            raise InputError(f"output {taken[0]!r} is called like an input", "give it another name")
        return tuple(wished)
    names: list[str] = []
    for path in paths:
        parts = [re.sub(r"\W+", "_", part) for part in path] or ["output"]
        if parts[0].isdigit():
            parts.insert(0, "output")
        name = "_".join(parts)
        names.append(f"{name}_out" if name in inputs else name)
    # ``a, a`` becomes ``a_0, a_1``.
    return tuple(f"{n}_{i}" if names.count(n) > 1 else n for i, n in enumerate(names))


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The leaves of torch's pytree in its order, each with the keys, fields and positions that lead to it."""
    node = pytree.SUPPORTED_NODES.get(pytree._get_node_type(value))
    if node is None:
        yield path, value
        return
    children, _ = node.flatten_fn(value)
    for key, child in zip(_keys(value, children), children, strict=True):
        yield from _leaves(child, (*path, key))


def _keys(value: Any, children: Sequence[Any]) -> list[str]:
    """What the parts of a structure are called: by itself where it says so, else by their place."""
    names: list[Any] = []
    if isinstance(value, Mapping):
        names = list(value)
    elif dataclasses.is_dataclass(value):
        # None is dropped on flattening.
        names = [field.name for field in dataclasses.fields(value)]
        if len(names) != len(children):
            names = [name for name in names if getattr(value, name) is not None]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        names = list(value._fields)
    return [str(name) for name in names] if len(names) == len(children) else [str(i) for i in range(len(children))]
