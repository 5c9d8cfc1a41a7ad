"""attnexport scan: all that blocks an export at once, and what each target cannot run or runs slowly, by module and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attnexport.cli import main
from attnexport.errors import InputError, UnsupportedModelError
from attnexport.export.graph.origin import Origin
from attnexport.export.options import ExportOptions
from attnexport.export.progress import Silent
from attnexport.export.scan import scan
from attnexport.export.scan.findings import Finding, together
from attnexport.export.source import SourceOptions
from attnexport.export.targets import target_names

TENSORRT = ("tensorrt-10", "tensorrt-11", "tensorrt-rtx")
GPU = ("ort-cuda", *TENSORRT)


class Largest(nn.Module):
    def forward(self, x):
        return x.cummax(1)[0]


class Inverse(nn.Module):
    def forward(self, x):
        return torch.linalg.pinv(x @ x.mT)


class Blocked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.largest, self.first, self.second = Largest(), Inverse(), Inverse()

    def forward(self, x):
        return self.largest(x).sum() + self.first(x) + self.second(x + 1)


class Added(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x).scatter_add(1, (x > 0).long(), x)


class Windows(nn.Module):
    def forward(self, x):
        return F.unfold(x, 3, padding=1).amax(1)


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.added, self.windows = Added(), Windows()

    def forward(self, x):
        return self.added(x), self.windows(x), x.double().mean().float()


class Fine(nn.Module):
    def forward(self, x):
        return x.softmax(-1) @ x.mT


class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def scanned(name: str, shape: str, *targets: str):
    options = SourceOptions(factory=f"{__name__}:{name}", own_weights=True, inputs=(f"x={shape}",))
    return scan(ExportOptions(model=None, source=options), targets, Silent())


def test_every_operator_without_a_translation_is_named_at_once():
    found = scanned("Blocked", "2x7x4")
    assert (found.nodes, found.runs, found.targets) == (0, False, target_names())
    assert [(one.operator, one.module, one.kind, one.count, one.targets) for one in found.findings] == [
        ("aten.linalg_pinv.atol_rtol_tensor", "first", "Inverse", 2, target_names()),
        ("aten.cummax.default", "largest", "Largest", 1, target_names()),
    ]
    assert found.findings[0].modules == ("first", "second")
    assert all(one.source.partition(":")[0].endswith("test_scan.py") for one in found.findings)


def test_what_targets_cannot_run_and_what_is_slow_on_them():
    found = scanned("Mixed", "2x3x8x8")
    said = {(one.status, one.operator): (one.module, one.targets) for one in found.findings}
    assert said == {
        ("cannot", "ScatterElements"): ("added", TENSORRT),
        ("slow", "float64"): ("", GPU),
        ("left", "Im2Col"): ("windows", target_names()),
    }
    by_operator = {one.operator: one for one in found.findings}
    assert "reduction" in by_operator["ScatterElements"].reason
    assert by_operator["Im2Col"].reason.startswith(
        "not recognised as local attention, so windows are copied: ReduceMax"
    )
    assert found.nodes > 0
    assert not found.runs


@pytest.mark.parametrize(("targets", "runs"), [(("cpu",), True), (("cuda", "ort-cpu"), True), (("rtx",), False)])
def test_a_verdict_is_about_the_targets_asked_for(targets, runs):
    assert scanned("Mixed", "2x3x8x8", *targets).runs is runs


def test_nothing_is_said_of_a_model_that_all_targets_run():
    found = scanned("Fine", "2x7x4")
    assert (found.findings, found.runs) == ((), True)


def test_what_cannot_be_traced_is_an_error_as_in_an_export():
    with pytest.raises(UnsupportedModelError, match=r"data-dependent control flow in module '<root>' \(Branch\)"):
        scanned("Branch", "2x7")
    with pytest.raises(InputError, match="target vax is not known"):
        scanned("Fine", "2x7x4", "vax")


def test_the_command(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "net.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x.cummax(1)[0]\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ["scan", "net:Net", "--input", "x=2x7"]
    with pytest.raises(SystemExit) as stop:
        main(words)
    shown = capfd.readouterr().out
    assert stop.value.code == 1
    assert "aten.cummax.default" in shown
    assert "net.py:4" in shown
    with pytest.raises(SystemExit):
        main([*words, "--json", "--target", "rtx"])
    found = json.loads(capfd.readouterr().out)
    assert found["targets"] == ["tensorrt-rtx"]
    assert [(one["operator"], one["source"]) for one in found["findings"]] == [("aten.cummax.default", "net.py:4")]
    assert list(tmp_path.glob("*.attn")) == []


def test_findings_of_one_line_are_one():
    here, there = Origin("a", "Block", "net.py:3"), Origin("b", "Block", "net.py:3")
    found = together(
        [
            Finding.of("slow", "Loop", ["ort-cpu"], "waits", here),
            Finding.of("slow", "Loop", ["ort-cpu"], "waits", there),
            Finding.of("slow", "Loop", ["ort-cuda"], "waits long", here),
            Finding.of("slow", "Loop", ["ort-cuda"], "waits long", there),
            Finding.of("cannot", "Foo", ["ort-cuda"], "no kernel", None),
        ]
    )
    assert [(one.operator, one.targets, one.count, one.modules) for one in found] == [
        ("Foo", ("ort-cuda",), 1, ("",)),
        ("Loop", ("ort-cpu", "ort-cuda"), 2, ("a", "b")),
    ]
    assert found[1].reason == "waits; waits long"
