"""A small network of several modules as a user's file, its bundle made by the real export, and the command run on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from attnexport.export.debug import debug
from attnexport.export.options import ExportOptions, read_options
from attnexport.export.pipeline import run
from attnexport.runtime.bundle.divergence import Divergence, Reproducer

NET = """
import torch
from torch import nn


class Gate(nn.Module):
    def __init__(self, slope):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.slope = slope

    def forward(self, y):
        pooled = nn.functional.avg_pool2d(y, 3, 1, 1)
        return torch.sigmoid(nn.functional.leaky_relu(pooled, self.slope) * self.scale) * y


class Loud(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, y):
        loud = y * self.gain
        return torch.relu(loud * self.gain) / self.gain ** 2


class Body(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.before = nn.Conv2d(3, 8, 3, padding=1)
        self.gate = Gate(0.2)
        self.loud = Loud(gain)
        self.after = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        return self.after(self.loud(self.gate(self.before(x))))


class Net(nn.Module):
    def __init__(self, gain=2.0):
        super().__init__()
        self.body = Body(gain)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        y = self.body(x)
        return {"logits": self.head(y.mean((2, 3))), "map": y}
"""

LINES = {text.strip(): number for number, text in enumerate(NET.splitlines(), 1)}

Look = Callable[..., Divergence]


@dataclass(frozen=True)
class Ran:
    """How a reproducer ended when it was run alone."""

    code: int
    said: str


@pytest.fixture
def net_line() -> Callable[[str], str]:
    """``looked_net.py:LINE`` of a line of the network's file."""
    return lambda text: f"looked_net.py:{LINES[text]}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with the network's file in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "looked_net.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "looked_net", raising=False)
    yield tmp_path
    sys.modules.pop("looked_net", None)


def asked(options: dict[str, Any]) -> ExportOptions:
    """The network with random weights in FP32, unless ``options`` say otherwise."""
    given: dict[str, Any] = {"precision": "fp32", "kwargs": "{}", "gate": 2.0, "inputs": ["x=2x3x8x9"]}
    words = {"model": None, "factory": "looked_net:Net", "random_weights": True, "trt": None, "workspace": None}
    return read_options(**{**words, **given, **options})


@pytest.fixture
def look(here: Path) -> Look:
    """Run the search; the named options are its own, the rest the export's. What it writes goes to ``found``."""

    def run_it(
        *, stage: str | None = None, bundle: Path | None = None, replace: bool = False, **options: Any
    ) -> Divergence:
        return debug(asked(options), stage=stage, bundle=bundle, folder=here / "found", replace=replace)

    return run_it


@pytest.fixture
def bundle(here: Path) -> Callable[..., Path]:
    """Export the network to a bundle."""

    def make(**options: Any) -> Path:
        made = run(asked({"out": here / "net.attn", **options}))
        assert made.bundle is not None
        return made.bundle

    return make


@pytest.fixture
def alone() -> Callable[[Reproducer], Ran]:
    """Run a reproducer's command as a process of its own, which finds neither this package nor torch."""

    def start(made: Reproducer) -> Ran:
        without = "import runpy, sys; sys.modules.update(dict.fromkeys(('attnexport', 'torch', 'onnx'))); "
        path = str(Path(made.folder) / "reproduce.py")
        code = f"{without}runpy.run_path({path!r}, run_name='__main__')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
        return Ran(done.returncode, done.stdout + done.stderr)

    return start
