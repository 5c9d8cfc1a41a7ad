"""The suite: which layers, at which sizes and batches."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attnexport.benchmarks.local_attention_dot import (
    LocalLayer,
    Neighbourhood,
    StandAlone,
    StandAloneEinsum,
    StandAloneShifted,
)
from attnexport.benchmarks.local_attention_shared import Involution, LocalRelation, Outlook, PerChannel


@dataclass(frozen=True)
class Layer:
    """One row: a family, what builds its module, and the input's shape."""

    family: str
    kernel: int
    shape: tuple[int, int, int, int]
    make: Callable[[], LocalLayer]

    @property
    def name(self) -> str:
        """Family, kernel, size and batch, without spaces: ``dot-k7-64x56x56-b1``."""
        batch, *sizes = self.shape
        return f"{self.family}-k{self.kernel}-{'x'.join(map(str, sizes))}-b{batch}"

    def build(self) -> tuple[LocalLayer, Tensor]:
        """The module in eval mode and an input of unit variance, both the same at every call."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.make().eval(), torch.randn(self.shape)


def _layers() -> tuple[Layer, ...]:
    found: list[Layer] = []

    def add(
        family: str, make: Callable[..., LocalLayer], kernel: int, size: str, batch: int = 1, **options: Any
    ) -> None:
        channels, height, width = map(int, size.split("x"))
        found.append(Layer(family, kernel, (batch, channels, height, width), lambda: make(channels, kernel, **options)))

    for size in ("64x56x56", "128x28x28", "256x14x14"):
        for kernel in (3, 5, 7):
            add("dot", StandAlone, kernel, size)
    for kernel, size in ((3, "64x56x56"), (7, "128x28x28"), (7, "256x14x14")):
        add("dot", StandAlone, kernel, size, 8)
    add("dot-wide", StandAlone, 11, "64x56x56")
    add("dot-dilated", StandAlone, 3, "64x56x56", dilation=2)
    add("dot-dilated", StandAlone, 5, "128x28x28", dilation=2)
    add("dot-strided", StandAlone, 7, "64x56x56", stride=2)
    add("dot-einsum", StandAloneEinsum, 7, "64x56x56")
    add("dot-shifted", StandAloneShifted, 3, "128x28x28")
    add("dot-shifted", StandAloneShifted, 5, "64x56x56")
    add("neighbourhood", Neighbourhood, 7, "64x56x56")
    add("neighbourhood", Neighbourhood, 5, "128x28x28", dilation=2)
    add("per-channel", PerChannel, 3, "64x56x56")
    add("per-channel", PerChannel, 7, "64x56x56")
    add("per-channel", PerChannel, 7, "256x14x14")
    add("per-channel", PerChannel, 3, "128x28x28", 8)
    add("lrnet", LocalRelation, 7, "64x56x56")
    add("lrnet", LocalRelation, 7, "256x14x14")
    add("lrnet", LocalRelation, 7, "128x28x28", 8)
    add("outlook", Outlook, 3, "192x28x28")
    add("outlook-strided", Outlook, 3, "192x28x28", stride=2)
    add("outlook-strided", Outlook, 3, "192x28x28", 8, stride=2)
    add("involution", Involution, 7, "64x56x56")
    add("involution", Involution, 7, "256x14x14")
    return tuple(found)


SUITE = _layers()


def choose(pattern: str | None = None, batch: int | None = None) -> tuple[Layer, ...]:
    """The layers whose name the regular expression ``pattern`` is found in, of one batch where one is given."""
    wanted = re.compile(pattern or "", re.IGNORECASE)
    return tuple(layer for layer in SUITE if wanted.search(layer.name) and batch in (None, layer.shape[0]))


def useful_flops(layer: Layer) -> int:
    """Twice the multiply-adds of the projections (counted by hooks) and of the window's taps, for the whole batch.

    Softmax, relative terms and moving of data are not counted: no form of the layer can do with less.
    """
    module, x = layer.build()
    counted = [0]

    def count(part: nn.Module, _: Any, output: Tensor) -> None:
        weight = part.weight
        assert isinstance(weight, Tensor)
        outputs_per_channel = output.numel() // weight.shape[0]
        counted[0] += outputs_per_channel * weight.numel()

    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(count)
    with torch.no_grad():
        output: Tensor = module(x)
    taps = module.taps(output.shape[2], output.shape[3])
    return 2 * (counted[0] + len(output) * taps)
