"""A traced model gives tensors only: numbers, strings and None among its outputs are left out.

torch.export keeps them as constants, and torch.onnx (2.13) then fails: "'int' object has no attribute 'name'". A size that a model
returns (``x.shape[0]``) would be one more output that the module's own tensors do not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...forward.outputs import flatten


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
