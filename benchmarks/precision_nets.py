"""The five networks that the search is measured on: each of them fails a plain conversion to FP16 in a way of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnexport.export.progress import Silent
from attnexport.export.reference.original import Original
from attnexport.export.source import ModuleSource
from attnexport.export.stages.models import enter
from attnexport.export.stages.rewrite import Plan, find_windows, lower_for
from attnexport.models.attention.cbam import CBAM
from attnexport.models.attention.spatial_transformer import SpatialTransformer
from attnexport.models.attention.squeeze_excite import SqueezeExcite
from attnexport.models.attention.stand_alone import StandAloneAttention
from attnexport.models.resnet import resnet
from attnexport.models.vit import vit
from attnexport.runtime.spec import Axis, TensorSpec

SEED = 0


@dataclass(frozen=True)
class Lowered:
    """What a search starts from: the FP32 graph of standard operators, its original, and its inputs."""

    model: onnx.ModelProto
    original: Original
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]


def resnet18_gates(classes: int = 1000, width: int = 64) -> nn.Module:
    """ResNet-18 whose blocks have squeeze-excite and CBAM in turn, with the statistics of a pass over noise."""
    turn = count()

    def slot(channels: int) -> nn.Module:
        return SqueezeExcite(channels) if next(turn) % 2 == 0 else CBAM(channels)

    module = resnet(18, classes, width, block_slot=slot)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0  # fresh statistics shrink what passes until every map is dead
    with torch.no_grad():
        module.train()(torch.randn(4, 3, 64, 64))
    return module


def vit_small(classes: int = 1000, image: int = 224, width: int = 384, depth: int = 6, heads: int = 6) -> nn.Module:
    """A small vision transformer."""
    return vit(classes, image=image, width=width, depth=depth, heads=heads)


def sasa_block(channels: int = 64, heads: int = 8) -> nn.Module:
    """One stand-alone self-attention block, k = 7."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1), nn.ReLU(), StandAloneAttention(channels, channels, kernel_size=7, heads=heads)
    )


def stn256() -> nn.Module:
    """A spatial transformer on 256x256 images, a little away from the identity that it begins with."""
    localisation = nn.Sequential(
        nn.Conv2d(1, 8, 7, stride=4), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(8, 10, 5, stride=2), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(32), nn.ReLU(),
    )  # fmt: skip
    module = SpatialTransformer(localisation, 32, align_corners=True)
    with torch.no_grad():
        localisation(torch.zeros(1, 1, 256, 256))
        nn.init.normal_(module.regressor.weight, std=1e-4)
    return module


class Hazard(nn.Module):
    """What overflows or vanishes in FP16: (N, 16, 64) -> (N, 16, 32).

    Activations beyond 65,504, a variance from squares, eps 1e-12 beside a row of zeros, a mask of -1e9, long sums.
    """

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(64, 64), nn.Linear(64, 64)
        self.query, self.key, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 32)
        with torch.no_grad():
            self.up.weight.mul_(40_000.0)

    def forward(self, x: Tensor) -> Tensor:
        """Every hazard once, in a row."""
        high = self.up(x).relu()
        x = self.down(high * 1e-5)
        mean = x.mean(-1, keepdim=True)
        square = (x * 300.0).pow(2).mean(-1, keepdim=True) / 90_000.0
        x = (x - mean) / (square - mean.pow(2)).clamp(min=0.0).add(1e-12).sqrt()
        row = F.normalize(x, dim=-1, eps=1e-12)
        scores = self.query(row) @ self.key(row).transpose(1, 2)
        causal = torch.ones(16, 16).triu(1) * -1e9
        x = x + (scores + causal).softmax(-1) @ x
        long = (x.flatten(1).abs() * 100.0).sum(-1, keepdim=True) / 102_400.0
        y: Tensor = self.head(x * long.unsqueeze(-1))
        return y


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str | None]] = {
    "resnet18_se_cbam": (resnet18_gates, (3, 224, 224), "classification"),
    "vit_small": (vit_small, (3, 224, 224), "classification"),
    "sasa_block": (sasa_block, (64, 28, 28), None),
    "stn256": (stn256, (1, 256, 256), None),
    "hazard": (Hazard, (16, 64), None),
}
"""Builder, shape of one input, task."""


def lowered(build: Callable[[], nn.Module], shape: Sequence[int], task: str | None = None) -> Lowered:
    """Build with seed 0, capture, recognise and lower, for an engine."""
    torch.manual_seed(SEED)
    module = build().eval()
    axes = (Axis(1, 4, 16, "batch"), *(Axis.fixed(size) for size in shape))
    inputs = (TensorSpec("x", "float32", axes),)
    source = ModuleSource(
        kind="random", name="net", module=module, inputs=inputs, outputs=("y",), task=task, explicit_dynamic=True
    )
    entered = enter(source, (), SEED, Silent())
    _, half = lower_for(find_windows(entered.captured.model), Plan("ort-cpu", "ort-cuda"), inputs, False, Silent())
    assert half is not None
    return Lowered(half.model, entered.original, inputs, entered.output_names)


def net(name: str) -> Lowered:
    """One of ``NETS``."""
    build, shape, task = NETS[name]
    return lowered(build, shape, task)
