"""The networks that have a name: what builds each, what it takes and gives, and which paper defines it."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from torch import nn

from . import (
    bahdanau,
    cotnet,
    danet,
    digits,
    gated_resnet,
    lrnet,
    luong,
    nonlocal_resnet,
    resnet,
    sasa_resnet,
    stn,
    transformer,
    vit,
)
from .entry import RegistryEntry

_BUILT = "_attnexport_built"


FAMILIES = (
    bahdanau,
    cotnet,
    danet,
    digits,
    gated_resnet,
    lrnet,
    luong,
    nonlocal_resnet,
    resnet,
    sasa_resnet,
    stn,
    transformer,
    vit,
)
"""The files that list named networks."""

REGISTRY: dict[str, RegistryEntry] = {entry.name: entry for family in FAMILIES for entry in family.ENTRIES}


def names() -> tuple[str, ...]:
    """The known names, sorted."""
    return tuple(sorted(REGISTRY))


def families() -> dict[str, tuple[str, ...]]:
    """The names of each family's file, in the order in which it lists them."""
    return {family.__name__.rpartition(".")[2]: tuple(entry.name for entry in family.ENTRIES) for family in FAMILIES}


def entry(name: str) -> RegistryEntry:
    """The entry of that name. Raises ValueError with the nearest names where there is none."""
    if name in REGISTRY:
        return REGISTRY[name]
    near = difflib.get_close_matches(name, names(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"attnexport models lists the {len(REGISTRY)} that are"
    raise ValueError(f"architecture {name!r} is not known: {hint}")


def build(name: str, **kwargs: Any) -> nn.Module:
    """A fresh module of that architecture, in training mode, its weights drawn from torch's random state.

    ``kwargs`` are the builder's options, plain JSON values. Raises ValueError for an unknown name, an unknown option,
    and a value of the wrong type or without meaning; the message names it.
    """
    builder = entry(name).builder
    options = inspect.signature(builder).parameters
    for key, value in kwargs.items():
        if key not in options:
            raise ValueError(f"{name} has no option {key!r}: it takes {', '.join(options)}")
        wanted = type(options[key].default)
        if type(value) is not wanted:
            raise ValueError(f"option {key!r} of {name} is {value!r}: it takes {wanted.__name__}")
        if wanted is int and value < 1:
            raise ValueError(f"option {key!r} of {name} is {value}: it takes 1 or more")
    module = builder(**kwargs)
    # A plain attribute: it follows copies and pickles of the module and is no part of the state dict.
    setattr(module, _BUILT, (name, dict(kwargs)))
    return module


def describe(module: nn.Module) -> tuple[str, dict[str, Any]] | None:
    """The name and options that :func:`build` made ``module`` (or its original) from; None for any other module."""
    built = vars(module).get(_BUILT)
    if built is None:
        return None
    name, kwargs = built
    return name, dict(kwargs)
