"""A network with a convolution, local attention, a gain and a linear layer, each a module of its own, as a user's file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attnexport.export.options import read_options
from attnexport.export.pipeline import ExportResult, run

NET = """
import torch
from torch import nn


class Attention(nn.Module):
    def forward(self, y):
        n, c, h, w = y.shape
        windows = nn.functional.unfold(y, 3, padding=1).view(n, c, 9, h, w)
        weights = torch.softmax((y[:, :, None] * windows).sum(1, keepdim=True), 2)
        return (weights * windows).sum(2)


class Gain(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, y):
        loud = y * self.gain
        return torch.relu(loud * self.gain) / self.gain ** 2


class Block(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.before = nn.Conv2d(3, 8, 3, padding=1)
        self.attn = Attention()
        self.norm = Gain(gain)
        self.after = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        return self.after(self.norm(self.attn(self.before(x))))


class Net(nn.Module):
    def __init__(self, gain=2.0):
        super().__init__()
        self.layer = Block(gain)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        y = self.layer(x)
        return self.head(y.mean((2, 3))), y
"""

LINES = {text.strip(): number for number, text in enumerate(NET.splitlines(), 1)}

Export = Callable[..., ExportResult]


@pytest.fixture
def net_line() -> Callable[[str], str]:
    """``planted_net.py:LINE`` of a line of the network's file."""
    return lambda text: f"planted_net.py:{LINES[text]}"


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Export]:
    """Run the whole pipeline on the network; failed gates are kept, so that the bundle tells of them."""
    monkeypatch.chdir(tmp_path)
    Path("planted_net.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "planted_net", raising=False)

    def run_it(**options: Any) -> ExportResult:
        given: dict[str, Any] = {"trt": None, "precision": "fp32", "kwargs": "{}", "keep_failed": True, "gate": 2.0}
        return run(
            read_options(
                **{
                    "model": None, "factory": "planted_net:Net", "random_weights": True, "workspace": None,
                    "inputs": ["x=2x3x8x9"], "out": tmp_path / "net.attn", **given, **options,
                }
            )
        )  # fmt: skip

    yield run_it
    sys.modules.pop("planted_net", None)
