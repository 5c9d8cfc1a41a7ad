"""Export, debug and scan consume the same stages: the same names and the same graphs, in the same order."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attnexport.export.debug import debug
from attnexport.export.debug import stages as debug_stages
from attnexport.export.options import ExportOptions, SourceOptions
from attnexport.export.pipeline import run
from attnexport.export.progress import Silent
from attnexport.export.scan import scan
from attnexport.export.stages import build
from attnexport.runtime.bundle.stage import Stage


class Net(nn.Module):
    """Local attention over windows of 3x3, written with unfold."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        windows = F.unfold(y, 3, padding=1).view(y.shape[0], 4, 9, -1)
        weights = (y.flatten(2).unsqueeze(2) * windows).sum(1).softmax(1)
        return (windows * weights.unsqueeze(1)).sum(2)


def test_export_debug_and_scan_see_the_same_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    def spy(*arguments: Any) -> Iterator[Any]:
        for step in original(*arguments):
            seen.append((step.name, hashlib.sha256(step.model.SerializeToString(deterministic=True)).hexdigest()))
            yield step

    original = build.models
    monkeypatch.setattr(build, "models", spy)
    monkeypatch.setattr(debug_stages, "models", spy)
    monkeypatch.setattr(sys.modules[scan.__module__], "models", spy)
    torch.manual_seed(0)
    source = SourceOptions(factory=f"{__name__}:Net", random_weights=True, inputs=("x=1x2x6x6",))
    options = ExportOptions(model=None, out=tmp_path / "net.attn", precision="fp16", source=source)

    result = run(options)
    exported, seen = seen, []
    debug(options, stage="fp16")
    debugged, seen = seen, []
    scan(options, (), Silent())
    scanned = seen

    names = [name for name, _ in exported]
    assert [name for name in names if name != "lower-fp16"] == [
        "capture", "simplify", "raise", "recognise", "lower", "fp16",
    ]  # fmt: skip
    assert debugged == exported
    assert scanned == exported[:4]
    assert [stage.stage for stage in result.manifest.stages][1:7] == list(Stage)[1:7]
