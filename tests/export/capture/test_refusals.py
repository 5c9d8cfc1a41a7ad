"""When a model cannot be captured, the message says at which module and line, why, and what to change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from attnexport.errors import AttnexportError, InputError, UnsupportedModelError
from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import FixedAxisError, export_program, run_once
from attnexport.runtime.spec import Axis, TensorSpec

SPEC = TensorSpec("x", "float32", (Axis(1, 2, 8, "batch"), Axis.fixed(4)))


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return x
        return -x


class Fixed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(2, 2, 2)


class Eigen(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x[:, :, None] * x[:, None]).real


class Numpy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(x.numpy() * 2)


class Wrong(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ torch.ones(5, 5)


class Inside(nn.Module):
    """The faulty module as a child, so that messages must name it and not its parent."""

    def __init__(self, child: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), child)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def attempt(child: nn.Module) -> None:
    module = Inside(child).eval()
    feeds = [torch.randn(2, 4)]
    run_once(module, [SPEC], feeds)
    to_onnx(export_program(module, [SPEC], feeds), [SPEC], ["y"])


@pytest.mark.parametrize(
    ("child", "said"),
    [
        (Branch(), ["data-dependent control flow", "'body.1' (Branch)", "torch.where"]),
        (Fixed(), ["axis 0 of 'x' at 2", "--static"]),
        (Eigen(), ["aten.linalg_eig", "on complex numbers has no real form", "'body.1' (Eigen)"]),
        (Numpy(), ["'body.1' (Numpy)", "numpy()"]),
        (Wrong(), ["fails on x float32 (2, 4)", "'body.1' (Wrong)", "--input"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_refusal_names_module_line_reason_and_remedy(
    child: nn.Module, said: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AttnexportError) as caught:
        attempt(child)
    message = str(caught.value)
    for words in said:
        assert words in message
    assert caught.value.exit_code == 2
    assert "\n" not in message
    if not isinstance(child, Fixed):
        line = re.search(r"test_refusals\.py:(\d+)", message)
        assert line is not None
        code = Path(__file__).read_text(encoding="utf-8").splitlines()[int(line[1]) - 1]
        assert code.strip() in {"if x.sum() > 0:", "return torch.linalg.eigvals(x[:, :, None] * x[:, None]).real",
                                "return torch.as_tensor(x.numpy() * 2)", "return x @ torch.ones(5, 5)"}  # fmt: skip
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_kinds_of_refusal() -> None:
    with pytest.raises(FixedAxisError) as fixed:
        attempt(Fixed())
    assert fixed.value.axes == (("x", 0, 2),)
    with pytest.raises(UnsupportedModelError):
        attempt(Branch())
    with pytest.raises(InputError):
        attempt(Wrong())
