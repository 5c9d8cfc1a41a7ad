"""What a named network holds and does: parameters and multiply-adds, counted on the meta device, where no number is computed.

torch's FlopCounterMode counts convolutions, matrix products (linear layers, ``@``, einsum) and fused attention, two
operations to a multiply-add. Windowed attention is often written as a product and a sum over one of its axes, which it
does not see: :class:`_SummedProducts` counts an element of such a product as one multiply-add. Not counted is what
multiplies or adds alone: normalisation, activations, softmax, gates, sampling, pooling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from .entry import Inputs, RegistryEntry


@dataclass(frozen=True)
class Count:
    """``multiply_adds``: of one item of the batch, every other free axis at its optimum."""

    parameters: int
    multiply_adds: int


def count(entry: RegistryEntry, options: Mapping[str, Any] | None = None, inputs: Inputs | None = None) -> Count:
    """Count a network with the given builder options (none: the whole network) on its entry's inputs, or on ``inputs``.

    Parameters that are shared count once. Raises what the builder raises.
    """
    with torch.device("meta"):
        module = entry.builder(**(options or {})).eval()
        arguments = [_argument(spec) for spec in inputs or entry.inputs]
    with torch.no_grad(), FlopCounterMode(display=False) as counter, _SummedProducts() as products:
        module(*arguments)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Count(parameters, counter.get_total_flops() // 2 + products.multiply_adds)


def _argument(spec: Mapping[str, Any]) -> Tensor:
    sizes = [_size(axis) if isinstance(axis, dict) else int(axis) for axis in spec["axes"]]
    return torch.zeros(sizes, dtype=getattr(torch, spec["dtype"]))


def _size(axis: Mapping[str, Any]) -> int:
    return 1 if axis["symbol"] == "batch" else int(axis["opt"])


class _SummedProducts(TorchDispatchMode):
    """Counts the elements of every product of two tensors that is summed over an axis."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.multiply_adds = 0
        self._products = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.mul.Tensor and all(isinstance(operand, Tensor) for operand in args):
            self._products[result] = True
        elif func is torch.ops.aten.sum.dim_IntList and self._products.pop(args[0], None):
            self.multiply_adds += args[0].numel()
        return result
