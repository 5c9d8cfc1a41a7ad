"""What a model gives back, flattened and named as the module itself names it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from ..errors import InputError


def flatten(result: Any) -> list[torch.Tensor]:
    """The tensors of a (nested) result in the order of torch's pytree, which is the order of the exported outputs."""
    leaves = pytree.tree_leaves(result)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def output_names(result: Any, wished: Sequence[str] = ()) -> tuple[str, ...]:
    """A name per tensor: the wished ones, else keys and positions of the result's own structure.

    A single tensor is ``output``; ``{"logits": a, "aux": (b, c)}`` gives ``logits, aux_0, aux_1``.
    Raises InputError when the number of wished names is not the number of outputs, or the model gives none.
    """
    with_path, _ = pytree.tree_flatten_with_path(result)
    paths = [path for path, leaf in with_path if isinstance(leaf, torch.Tensor)]
    if not paths:
        raise InputError("the model gives no tensor", "return a tensor, or a tuple or dict of tensors")
    if wished:
        if len(wished) != len(paths):
            raise InputError(f"{len(wished)} output names for {len(paths)} outputs", "give one name per output tensor")
        return tuple(wished)
    names: list[str] = []
    for path in paths:
        parts = [
            re.sub(r"\W+", "_", str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))))
            for key in path
        ]
        if not parts:
            parts = ["output"]
        elif parts[0].isdigit():
            parts.insert(0, "output")
        names.append("_".join(parts))
    return tuple(f"{n}_{i}" if names.count(n) > 1 else n for i, n in enumerate(names))
