"""What a module keeps of a run (``self.mean = self.mean.type_as(x)``, a cache by size) is not kept of the runs that tracing needs.

Tracing runs a module on tensors that are not real: fake ones of torch.export, and those that ``known_values`` marks. A module that keeps
one and finds it in the next run fails there with what says nothing of it ("Unable to cast NotImplemented to Tensor").
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def kept_state(module: torch.nn.Module) -> Iterator[None]:
    """Afterwards the attributes of each submodule, and what lies in their dictionaries and lists, are those of before.

    What is written into a tensor in place stays written.
    """
    held = [restore for part in module.modules() for restore in _held(vars(part))]
    try:
        yield
    finally:
        for restore in held:
            restore()


def _held(attributes: dict[str, Any]) -> Iterator[Callable[[], None]]:
    yield _dictionary(attributes)
    for value in list(attributes.values()):
        # Exact kinds: others may forbid it, as a FrozenDict that holds a configuration, or have a meaning of their own.
        if type(value) in (dict, OrderedDict, defaultdict):
            yield _dictionary(value)
        elif type(value) is list:
            yield _list(value)


def _dictionary(here: dict[Any, Any]) -> Callable[[], None]:
    before = dict(here)

    def restore() -> None:
        here.clear()
        here.update(before)

    return restore


def _list(here: list[Any]) -> Callable[[], None]:
    before = list(here)

    def restore() -> None:
        here[:] = before

    return restore
