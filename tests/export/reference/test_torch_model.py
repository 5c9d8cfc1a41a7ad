"""The truth is the original module in FP64; what PyTorch itself errs at FP32 and FP16 is measured beside it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attnexport.errors import StageError
from attnexport.export.reference.original import Precision
from attnexport.export.reference.torch_model import TorchOriginal

X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


class Exponential(nn.Module):
    """exp(x W + b), whose FP64 value NumPy can give."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.fc(x)
        return {"y": y.exp(), "index": y.argmax(1)}


def expected(module: nn.Module) -> np.ndarray:
    weight = module.get_parameter("fc.weight").detach().numpy().astype(np.float64)
    bias = module.get_parameter("fc.bias").detach().numpy().astype(np.float64)
    return np.exp(X.astype(np.float64) @ weight.T + bias)


def test_fp64_is_exact_and_the_smaller_precisions_err_by_their_rounding() -> None:
    torch.manual_seed(0)
    module = Exponential().eval()
    original = TorchOriginal(module, ["x"], ["y", "index"])
    truth = expected(module)
    got = {p: original.run({"x": X}, p) for p in ("float64", "float32", "float16", "bfloat16")}
    np.testing.assert_allclose(got["float64"]["y"], truth, rtol=1e-14)
    errors = {p: float(np.abs(got[p]["y"].astype(np.float64) - truth).max()) for p in got}
    assert errors["float64"] < 1e-14 < errors["float32"] < 1e-5 < errors["float16"] < 1e-2
    # NumPy has no bfloat16: the values come as float32, rounded.
    assert got["bfloat16"]["y"].dtype == np.float32 and errors["float16"] < errors["bfloat16"] < 1e-1
    np.testing.assert_array_equal(got["float64"]["index"], truth.argmax(1))
    assert module.fc.weight.dtype == torch.float32, "the module that was handed in stays as it is"


class Rounding(nn.Module):
    """Asks for float32 in the middle of forward, and for a constant of the default dtype."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        third = torch.full((1,), 1.0) / 3.0
        return (x.float() + third.to(torch.float32)) + torch.linspace(0, 1, 4, dtype=torch.float32)


def test_a_float_cast_inside_forward_does_not_round_the_truth() -> None:
    got = TorchOriginal(Rounding().eval(), ["x"], ["y"]).run({"x": X}, "float64")["y"]
    np.testing.assert_allclose(got, X.astype(np.float64) + 1 / 3 + np.linspace(0, 1, 4), rtol=1e-15)
    assert torch.get_default_dtype() == torch.float32


class Traced(nn.Module):
    """A float32 request in the middle, which a traced graph keeps as a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.to(torch.float32)).exp()


def test_an_exported_program_has_a_truth_too() -> None:
    torch.manual_seed(0)
    module = Traced().eval()
    program = torch.export.export(module, (torch.from_numpy(X),))
    got = TorchOriginal(program.module(), ["x"], ["y"]).run({"x": X}, "float64")["y"]
    np.testing.assert_allclose(got, expected(module), rtol=1e-13)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_has_a_truth_too() -> None:
    torch.manual_seed(0)
    module = Exponential().eval()
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Sequential(module.fc), torch.from_numpy(X)), file)
    file.seek(0)
    got = TorchOriginal(torch.jit.load(file), ["x"], ["y"]).run({"x": X}, "float64")["y"]
    np.testing.assert_allclose(np.exp(got), expected(module), rtol=1e-13)


def test_the_truth_of_a_sampler_uses_torchs_own_grid() -> None:
    """No function mode of the capture may be active: the truth of affine_grid is torch's."""

    class Sampler(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            theta = torch.tensor([[[0.9, 0.2, 0.1], [-0.2, 0.8, 0.3]]]).to(x).expand(x.shape[0], -1, -1)
            return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)

    x = np.random.default_rng(1).standard_normal((2, 3, 6, 7)).astype(np.float32)
    got = TorchOriginal(Sampler(), ["x"], ["y"]).run({"x": x}, "float64")["y"]
    theta = np.array([[0.9, 0.2, 0.1], [-0.2, 0.8, 0.3]])
    ys, xs = np.meshgrid((2 * np.arange(6) + 1) / 6 - 1, (2 * np.arange(7) + 1) / 7 - 1, indexing="ij")
    grid = np.stack([xs, ys, np.ones_like(xs)], -1) @ theta.T
    at = ((grid + 1) * np.array([7, 6]) - 1) / 2
    truth = np.zeros(x.shape)
    for i, j in np.ndindex(6, 7):
        px, py = at[i, j]
        for qy in (int(np.floor(py)), int(np.floor(py)) + 1):
            for qx in (int(np.floor(px)), int(np.floor(px)) + 1):
                if 0 <= qy < 6 and 0 <= qx < 7:
                    truth[:, :, i, j] += (1 - abs(px - qx)) * (1 - abs(py - qy)) * x[:, :, qy, qx]
    # theta is rounded to the precision that forward asks for; in FP64 it is the decimal itself.
    np.testing.assert_allclose(got, truth, atol=1e-6)


def test_a_module_that_cannot_run_in_a_precision_is_said_to() -> None:
    class Stubborn(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.dtype != torch.float32:
                raise RuntimeError("only float32 here\nand more lines")
            return x

    with pytest.raises(StageError, match=r"fails in float64: only float32 here\. make forward"):
        TorchOriginal(Stubborn(), ["x"], ["y"]).run({"x": X}, "float64")


class Masked(nn.Module):
    """A mask constant that FP16 cannot hold: under autocast PyTorch itself raises."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.fc(x)
        return scores.masked_fill(scores > 0.5, -1e9).softmax(1)


class Overflowing(nn.Module):
    """Squares that overflow FP16 inside, and a finite result."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(x * 1000)
        return (y @ y.T) / 1e6


@pytest.mark.parametrize(("module", "reason"), [(Masked, "overflow"), (Overflowing, "not finite")])
def test_where_pytorch_fails_in_fp16_its_error_is_that_of_rounding(module: type[nn.Module], reason: str) -> None:
    torch.manual_seed(0)
    original = TorchOriginal(module().eval(), ["x"], ["y"])
    truth = original.run({"x": X}, "float64")["y"]
    for _ in range(2):
        got = original.run({"x": X}, "float16")["y"]
        error = np.sqrt(np.mean((got - truth) ** 2) / np.mean(truth**2))
        assert 1e-5 < error < 5e-3
    (note,) = original.notes
    assert reason in note


def test_a_model_that_autocast_runs_gets_no_note() -> None:
    original = TorchOriginal(Exponential().eval(), ["x"], ["y", "index"])
    original.run({"x": X}, "float16")
    assert original.notes == []


class Failing(nn.Module):
    """A layer, and a step that no autocast takes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not under autocast")
        return self.fc(x)


@pytest.mark.parametrize(
    ("precision", "kind", "low", "high"), [("float16", "FP16", 1e-5, 2e-3), ("bfloat16", "BF16", 5e-4, 2e-2)]
)
def test_each_16_bit_type_has_a_rounding_and_a_note_of_its_own(
    precision: str, kind: str, low: float, high: float
) -> None:
    torch.manual_seed(0)
    original = TorchOriginal(Failing().eval(), ["x"], ["y"])
    truth = original.run({"x": X}, "float64")["y"]
    got = original.run({"x": X}, precision)["y"]
    assert low < np.sqrt(np.mean((got - truth) ** 2) / np.mean(truth**2)) < high
    (note,) = original.notes
    assert f"under {kind} autocast (not under autocast): its {kind} error is that of {kind} weights" in note


@pytest.mark.parametrize("precision", ["float64", "float32", "float16"])
def test_a_module_that_writes_into_its_input_leaves_the_feeds_as_they_are(precision: Precision) -> None:
    class InPlace(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x *= 16
            return x + 1

    feeds = {"x": np.arange(4, dtype=np.float32)}
    original = TorchOriginal(InPlace(), ["x"], ["y"])
    for _ in range(2):
        np.testing.assert_array_equal(original.run(feeds, precision)["y"], [1, 17, 33, 49])
    np.testing.assert_array_equal(feeds["x"], [0, 1, 2, 3])
