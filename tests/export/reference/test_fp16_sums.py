"""FP16 products summed in FP32: NumPy's FP64 sums of FP16 operands, rounded once, and the errors of PyTorch's kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from attnexport.export.reference.fp16_sums import PRODUCTS, SumsInSingle
from attnexport.export.reference.torch_model import TorchOriginal

CASES: dict[str, tuple[Callable[..., torch.Tensor], list[tuple[int, ...]]]] = {
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1), [(2, 16, 9, 9), (8, 16, 3, 3), (8,)]),
    "dilated": (lambda x, w, b: F.conv2d(x, w, b, padding=2, dilation=2), [(2, 16, 9, 9), (8, 16, 3, 3), (8,)]),
    "depthwise": (lambda x, w: F.conv2d(x, w, groups=16), [(2, 16, 9, 9), (16, 1, 3, 3)]),
    "conv1d": (F.conv1d, [(2, 16, 30), (8, 16, 5)]),
    "conv3d": (F.conv3d, [(1, 4, 5, 6, 7), (4, 4, 3, 3, 3)]),
    "transposed": (lambda x, w: F.conv_transpose2d(x, w, stride=2), [(2, 8, 6, 6), (8, 4, 2, 2)]),
    "linear": (F.linear, [(5, 7, 64), (32, 64), (32,)]),
    "vector": (torch.mv, [(32, 64), (64,)]),
    "matmul": (torch.matmul, [(4, 9, 64), (4, 64, 9)]),
    "einsum": (lambda x, y: torch.einsum("bhid,bhjd->bhij", x, y), [(2, 2, 9, 16), (2, 2, 9, 16)]),
}


def operands(shapes: list[tuple[int, ...]]) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.standard_normal(shape)).to(torch.float16) for shape in shapes]


@pytest.mark.parametrize("case", CASES)
def test_the_sum_is_rounded_once(case: str) -> None:
    """FP64 sums of the same FP16 operands, rounded to FP16: FP32 sums differ where they lie beside the middle of two numbers."""
    function, shapes = CASES[case]
    given = operands(shapes)
    exact = function(*[x.double() for x in given])
    with SumsInSingle():
        got = function(*given)
    assert got.dtype is torch.float16
    assert (got == exact.half()).float().mean() > 0.99
    np.testing.assert_allclose(got.double(), exact, rtol=2**-11 * 1.001, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_pytorchs_own_kernels_err_as_much(case: str) -> None:
    function, shapes = CASES[case]
    given = operands(shapes)
    exact = function(*[x.double() for x in given])
    with SumsInSingle():
        ours = function(*given)
    own, error = ((y.double() - exact).pow(2).mean().sqrt().item() for y in (function(*given), ours))
    assert error == pytest.approx(own, rel=0.02)


class Seen(TorchDispatchMode):
    """The dtypes of the first operands that products were given."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: list[torch.dtype] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in PRODUCTS:
            self.dtypes += [value.dtype for value in args if isinstance(value, torch.Tensor)]
        return func(*args, **(kwargs or {}))


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3)
        self.head = torch.nn.Linear(8, 4)
        self.lstm = torch.nn.LSTM(4, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.head(torch.softmax(self.conv(x).flatten(2), -1).transpose(1, 2))
        return self.lstm(y @ y.transpose(1, 2) @ y)[0]


@pytest.mark.parametrize("script", [False, True])
def test_the_original_in_fp16_is_autocasts_with_no_product_left_in_half(script: bool) -> None:
    torch.manual_seed(0)
    net = Net().eval()
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)
    original = TorchOriginal(torch.jit.trace(net, torch.from_numpy(x)) if script else net, ["x"], ["y"])
    with Seen() as seen:
        got = original.run({"x": x}, "float16")["y"]
    # Convolution, linear layer, two products, and those of the LSTM: the script's executor may merge two.
    assert len(seen.dtypes) >= 6 and set(seen.dtypes) == {torch.float32}
    assert original.notes == []
    with torch.autocast("cpu", torch.float16), torch.no_grad():
        expected = net(torch.from_numpy(x)).float().numpy()
    truth = TorchOriginal(net, ["x"], ["y"]).run({"x": x}, "float64")["y"]  # a traced LSTM begins with zeros in FP32
    ours, own = (np.sqrt(np.mean((y.astype(np.float64) - truth) ** 2)) for y in (got, expected))
    assert ours == pytest.approx(own, rel=0.25) and ours > 1e-6, "rounded as autocast rounds"
