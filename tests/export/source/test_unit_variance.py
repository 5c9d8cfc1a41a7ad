"""Random weights whose signals vanish are scaled; others are not touched."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from attnexport.export.options import read_options
from attnexport.export.pipeline import run
from attnexport.export.source.unit_variance import SMALL, keep_signals
from attnexport.runtime.inputs.feeds import random_feeds
from attnexport.runtime.spec import Axis, TensorSpec

INPUTS = (TensorSpec("x", "float32", (Axis(1, 2, 4, "batch"), Axis.fixed(3), Axis.fixed(16), Axis.fixed(16))),)


def fading(depth: int, gain: float) -> nn.Sequential:
    """``depth`` convolutions, each ``gain`` times as large as the one before, and a linear layer."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i in range(depth):
        layer = nn.Conv2d(3 if i == 0 else 8, 8, 3, padding=1)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(gain)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5, bias=False)).eval()


@pytest.mark.parametrize(("depth", "gain"), [(3, 1e-4), (6, 1e-4), (10, 1e-6)])
def test_every_layer_has_unit_variance_afterwards(depth: int, gain: float) -> None:
    module = fading(depth, gain)
    (note,) = keep_signals(module, INPUTS)
    assert note.startswith(f"the random weights of {depth + 1} layers were scaled to outputs of unit variance")
    x = torch.from_numpy(random_feeds(INPUTS)["x"])
    deviations: list[float] = []
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(lambda _, __, out: deviations.append(float(out.detach().std(correction=0))))
    module(x)
    assert deviations == pytest.approx([1.0] * (depth + 1), rel=1e-3)


def test_a_network_with_ordinary_outputs_is_left_as_it_is() -> None:
    module = fading(3, 1.0)
    before = copy.deepcopy(module.state_dict())
    assert keep_signals(module, INPUTS) == ()
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_a_layer_that_runs_twice_is_scaled_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1, bias=False)
            nn.init.constant_(self.layer.weight, 1e-9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.layer(self.layer(x))
            return result

    module = Twice()
    assert len(keep_signals(module, INPUTS)) == 1
    ratio = module.layer.weight / 1e-9
    assert torch.allclose(ratio, ratio.flatten()[0].expand_as(ratio))


def test_a_network_that_cannot_run_is_left_to_the_capture() -> None:
    assert keep_signals(nn.Linear(7, 2), INPUTS) == ()


def test_an_export_of_a_fading_network_passes_in_fp16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the scaling the FP16 output is all zeros."""
    monkeypatch.chdir(tmp_path)
    Path("fading_net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.layers = nn.Sequential(*(nn.Linear(32, 32, bias=False) for _ in range(6)))\n"
        "        for layer in self.layers:\n            layer.weight.data.mul_(1e-3)\n\n"
        "    def forward(self, x):\n        return self.layers(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    shared = {"model": None, "factory": "fading_net:Net", "inputs": ["x=2x32"], "precision": "fp16"}
    result = run(read_options(**shared, random_weights=True, out=tmp_path / "net.attn"))
    assert result.passed
    assert any("were scaled to outputs of unit variance" in note for note in result.manifest.notes)
    assert all(record.figures.reference_rms > SMALL for record in result.manifest.parity)
