"""Counts against torchvision's published ones, the paper's table, and closed formulas."""

from __future__ import annotations

import pytest
from torch import Tensor, nn
from torch.nn import functional as F

from attnexport.models import registry
from attnexport.models.count import Count, count
from attnexport.models.entry import RegistryEntry, images


@pytest.mark.parametrize(
    ("name", "giga"),
    [("resnet18", 1.814), ("resnet34", 3.664), ("resnet50", 4.089), ("resnet101", 7.801), ("vit_b16", 17.564)],
)
def test_torchvision_counts_the_same(name: str, giga: float) -> None:
    """torchvision's ``weights.meta["_ops"]``, in 10^9 multiply-adds."""
    assert count(registry.entry(name)).multiply_adds == pytest.approx(giga * 1e9, rel=5e-4)


class Window(nn.Module):
    """A 3x3 window of 8 channels, weighed by a product and a sum, or by einsum."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.weigh = nn.Conv2d(8, 9, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.weigh(x).flatten(2)
        windows = F.unfold(x, 3, padding=1).unflatten(1, (8, 9))
        if self.how == "einsum":
            mixed = (windows.permute(0, 3, 1, 2) @ weights.permute(0, 2, 1).unsqueeze(3)).squeeze(3)
            return mixed * 2.0
        return (windows * weights.unsqueeze(1)).sum(2) * 2.0


@pytest.mark.parametrize("how", ["sum", "einsum"])
def test_windowed_attention_counts_alike_however_it_is_written(how: str) -> None:
    entry = RegistryEntry("window", lambda how=how: Window(how), "none", "a window", images(10, 8), ("y",), None)
    places = 10 * 10
    assert count(entry) == Count(parameters=8 * 9 + 9, multiply_adds=places * (8 * 9 + 8 * 9))


def test_options_and_inputs_change_the_count() -> None:
    entry = registry.entry("vit_ti16")
    small = count(entry, entry.reduced_options, entry.reduced_inputs)
    model = registry.build("vit_ti16", **entry.reduced_options)
    assert small.parameters == sum(p.numel() for p in model.parameters())
    assert small.multiply_adds < count(entry).multiply_adds / 100


def test_a_product_that_is_not_summed_is_no_multiply_add() -> None:
    class Gate(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.sigmoid() + x.sum(1, keepdim=True)

    entry = RegistryEntry("gate", Gate, "none", "a gate", images(4), ("y",), None)
    assert count(entry) == Count(0, 0)
