"""Complex numbers become two real tensors; discrete Fourier transforms become products. The oracle is the module in FP64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.errors import UnsupportedModelError

FP32 = 1e-6


def angles(length: int = 16, pairs: int = 8) -> torch.Tensor:
    turns = torch.outer(torch.arange(length).float(), 100 ** -(torch.arange(pairs) / pairs))
    return torch.polar(torch.ones_like(turns), turns)


class Rotary(nn.Module):
    """As LLaMA's reference code writes it, with the factors in a buffer."""

    def __init__(self, persistent: bool = True) -> None:
        super().__init__()
        self.register_buffer("factors", angles(), persistent=persistent)

    def forward(self, x):
        pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * self.factors[None, : x.shape[1], None]).flatten(3).type_as(x)


class Constant(nn.Module):
    """A complex tensor that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = angles(7)

    def forward(self, x):
        return (torch.complex(x[..., 0::2], x[..., 1::2]) * self.factors[:, None].conj()).imag


class Computed(nn.Module):
    def forward(self, x):
        turns = torch.outer(torch.arange(x.shape[1]).float(), torch.arange(8).float())
        z = torch.view_as_complex(x.unflatten(-1, (-1, 2))) * torch.exp(1j * turns)[:, None]
        return (
            z.abs(),
            z.angle(),
            (z / (z.mean(1, keepdim=True) + 2 + 1j)).real,
            (z[:, 0] @ z[:, 1].transpose(1, 2)).imag,
            (z - 1j).real,
        )


class Pieces(nn.Module):
    def forward(self, x):
        z = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        a, b = torch.cat([z, z.conj() * 2], -1).split(8, -1)
        a = torch.where(x[..., :8] > 0, a, b).roll(1, 1)
        return torch.view_as_real(torch.stack([a, -b + a], 1)[:, 0].sum(2)), (z.real + 0j).imag


@pytest.mark.parametrize(
    ("module", "dynamic"),
    [
        (Rotary(), ()),
        (Rotary(persistent=False), ("x:0=1:2:5", "x:1=2:7:12")),
        (Constant(), ()),
        (Computed(), ()),
        (Pieces(), ()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_complex_numbers(parity, module, dynamic):
    assert parity(module, "x=2x7x4x16", dynamic=dynamic) < FP32


class Mixing(nn.Module):
    """FNet's, GFNet's and other uses of torch.fft."""

    def __init__(self, use: str) -> None:
        super().__init__()
        self.use = use
        self.weight = nn.Parameter(torch.randn(6, 5, 3, 2, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        if self.use == "fnet":
            return torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real
        if self.use == "gfnet":
            spectrum = torch.fft.rfft2(x, dim=(1, 2), norm="ortho") * torch.view_as_complex(self.weight)
            return torch.fft.irfft2(spectrum, s=x.shape[1:3], dim=(1, 2), norm="ortho")
        if self.use == "odd":
            return torch.fft.irfft(torch.fft.rfft(x[:, :5], dim=1), n=5, dim=1), torch.fft.ifft(x, dim=1).imag
        return torch.fft.ifftn(torch.fft.fftn(x, dim=(1, 2)), dim=(1, 2), norm="forward").real


@pytest.mark.parametrize("use", ["fnet", "gfnet", "odd", "round trip"])
def test_fourier_transforms(parity, use):
    assert parity(Mixing(use), "x=2x6x8x3") < FP32


class Resized(nn.Module):
    """A convolution, a filter in frequencies, half the size: torch's own decomposition of resizing took the example's batch for fixed."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.rand(3, 8, 5))

    def forward(self, x):
        filtered = torch.fft.irfft2(torch.fft.rfft2(x) * self.weights, s=(8, 8))
        half = nn.functional.interpolate(filtered, scale_factor=0.5, mode="bilinear", align_corners=False)
        return half.permute(0, 2, 3, 1).reshape(x.shape[0], 16, 3)


def test_a_free_batch_stays_free_behind_what_is_resized(parity):
    assert parity(Resized(), "x=2x3x8x8", dynamic=("x:0=1:2:5",)) < FP32


def test_nothing_complex_is_left_and_nodes_keep_their_module(entered):
    found = entered(nn.Sequential(nn.Linear(16, 16), Rotary()), "input=2x7x4x16")
    graph = found.captured.model.graph
    assert {t.data_type for t in graph.initializer} <= {1, 7}
    turned = [node.name for node in graph.node if node.op_type == "Mul"]
    assert turned
    assert {found.captured.origins[name].module for name in turned} == {"1"}
    assert found.captured.origins[turned[0]].source.partition(":")[0].endswith("test_rewrite.py")


class Untold(nn.Module):
    def forward(self, x):
        return torch.cumsum(x, 1).real


class Given(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x)


@pytest.mark.parametrize(
    ("module", "dynamic", "message"),
    [
        (
            Given(),
            (),
            "an output of the model is complex; .* gives complex outputs as pairs of real numbers. return torch.view_as_real of it",
        ),
        (
            nn.Sequential(Given(), Untold()),
            (),
            "operator aten.cumsum on complex numbers has no real form, in module '1' \\(Untold\\)",
        ),
    ],
)
def test_refusals_name_operator_and_module(entered, module, dynamic, message):
    name = "input" if isinstance(module, nn.Sequential) else "x"
    with pytest.raises(UnsupportedModelError, match=message):
        entered(module, f"{name}=2x6x6x6", dynamic=dynamic)
