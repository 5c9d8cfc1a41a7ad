"""Which names come to the same network: a short ResNet-34 is a short ResNet-18."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from typing import Any

import torch
from torch import nn

from . import registry

_EVERY_MODULE = frozenset(vars(nn.Module())) | {registry._BUILT}


def structure(module: nn.Module) -> Hashable:
    """Equal for modules that compute alike but for their weights' values: classes, plain attributes, and shapes, by path."""
    return tuple(
        (path, type(part).__qualname__, _attributes(part), _shapes(part.named_parameters(recurse=False), part))
        for path, part in module.named_modules()
    )


def reduced(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The names by the first of those that come to the same network when reduced, with the same inputs and outputs."""
    groups: dict[Hashable, list[str]] = {}
    for name in names:
        entry = registry.entry(name)
        with torch.device("meta"):
            module = entry.builder(**entry.reduced_options)
        border = json.dumps([entry.reduced_inputs or entry.inputs, entry.outputs, entry.task])
        groups.setdefault((structure(module), border), []).append(name)
    return {group[0]: tuple(group) for group in groups.values()}


def _attributes(part: nn.Module) -> Hashable:
    own = {key: value for key, value in vars(part).items() if key not in _EVERY_MODULE}
    return tuple(sorted((key, _plain(value)) for key, value in own.items()))


def _plain(value: Any) -> str:
    # A function is told by its name: its repr holds an address.
    return getattr(value, "__qualname__", None) or repr(value)


def _shapes(parameters: Iterable[tuple[str, torch.Tensor]], part: nn.Module) -> Hashable:
    tensors = (*parameters, *part.named_buffers(recurse=False))
    return tuple((name, tuple(tensor.shape), str(tensor.dtype)) for name, tensor in tensors)
