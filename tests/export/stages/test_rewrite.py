"""Which model is lowered for what, and that both stay the same function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from attnexport.errors import InputError
from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.export.engine.flavour import Flavour
from attnexport.export.options import ExportOptions
from attnexport.export.pipeline import run
from attnexport.export.progress import Silent
from attnexport.export.source import SourceOptions
from attnexport.export.stages.rewrite import Plan, find_windows, lower_for
from attnexport.runtime.spec import Axis, TensorSpec

RTX = Flavour("rtx", (1, 7, 1), "1.7.1")
TEN = Flavour("enterprise", (10, 13, 0), "10.13.0")
ELEVEN = Flavour("enterprise", (11, 1, 0), "11.1.0")
SPEC = TensorSpec("x", "float32", (Axis(1, 2, 4, "batch"), Axis.fixed(16), Axis.fixed(32), Axis.fixed(32)))


class PerChannel(nn.Module):
    """Softmax of q k over a 5 x 5 window, per channel, on the input itself."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        windows = nn.functional.unfold(x, 5, padding=2).unflatten(1, (x.shape[1], 25))
        weights = (x.flatten(2).unsqueeze(2) * windows).softmax(2)
        return (weights * windows).sum(2).view(x.shape)


class Shifted(nn.Module):
    """A sum over shifts with weights of its own: a blur, and no attention."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H - 2, W - 2)."""
        parts = [x[:, :, i : i + 30, j : j + 30] * (i - j + 0.5) for i in range(3) for j in range(3)]
        return torch.stack(parts).amax(0)


def captured(module: nn.Module) -> onnx.ModelProto:
    feeds = [torch.from_numpy(np.random.default_rng(0).standard_normal((2, 16, 32, 32)).astype(np.float32))]
    return to_onnx(export_program(module.eval(), (SPEC,), feeds), (SPEC,), ["y"]).model


@pytest.mark.parametrize(
    ("wished", "flavour", "precision", "plan"),
    [
        (None, None, "fp16", Plan("ort-cpu", "ort-cuda")),
        (None, None, "fp32", Plan("ort-cpu", None)),
        (None, RTX, "fp16", Plan("ort-cpu", "tensorrt-rtx")),
        (None, RTX, "fp32", Plan("tensorrt-rtx", None)),
        (None, TEN, "fp16", Plan("ort-cpu", "tensorrt-10")),
        (None, ELEVEN, "fp32", Plan("tensorrt-11", None)),
        ("cuda", RTX, "fp16", Plan("ort-cuda", "tensorrt-rtx")),
        ("cpu", RTX, "fp32", Plan("ort-cpu", None)),
    ],
)
def test_each_model_is_for_what_runs_it(wished, flavour, precision, plan) -> None:
    assert Plan.of(wished, flavour, precision) == plan


@pytest.mark.parametrize(
    ("wished", "message"),
    [
        ("jetson", "target jetson is not known"),
        ("tensorrt", r"--target tensorrt is 3 targets\. pass one of tensorrt-10"),
    ],
)
def test_a_target_that_is_none_or_many_is_refused(wished: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Plan.of(wished, None, "fp16")


def test_both_models_compute_the_same_by_different_forms() -> None:
    recognised = find_windows(captured(PerChannel()))
    assert [entry.description for entry in recognised.found] == ["LocalAttention 5x5, 16 heads of 1"]
    full, half = lower_for(recognised, Plan("ort-cpu", "tensorrt-rtx"), (SPEC,), False, Silent())
    assert half is not None
    assert [a.lowering for a in full.applied] == ["local_attention_shifts"]
    assert [a.lowering for a in half.applied] != ["local_attention_shifts"]
    x = np.random.default_rng(1).standard_normal((3, 16, 32, 32)).astype(np.float32)
    truth = PerChannel()(torch.from_numpy(x).double()).numpy()
    for result in (full, half):
        session = onnxruntime.InferenceSession(result.model.SerializeToString(), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, {"x": x})[0], truth, rtol=0, atol=5e-6)


def test_one_lowering_serves_both_where_nothing_depends_on_the_machine() -> None:
    recognised = find_windows(captured(nn.Conv2d(16, 4, 3)))
    full, half = lower_for(recognised, Plan("ort-cpu", "tensorrt-rtx"), (SPEC,), False, Silent())
    assert half is full
    assert lower_for(recognised, Plan("ort-cpu", None), (SPEC,), False, Silent())[1] is None


def test_a_loop_of_shifts_that_is_no_attention_stays_a_loop() -> None:
    model = captured(Shifted())
    recognised = find_windows(model)
    assert [node.SerializeToString() for node in recognised.model.graph.node] == [
        node.SerializeToString() for node in model.graph.node
    ]
    assert recognised.found == []


def test_tune_is_refused_where_no_model_can_be_timed() -> None:
    recognised = find_windows(captured(PerChannel()))
    with pytest.raises(
        InputError, match=r"--tune cannot time lowerings for tensorrt-rtx\. pass --target ort-cpu or ort-cuda"
    ):
        lower_for(recognised, Plan("tensorrt-rtx", None), (SPEC,), True, Silent())


def test_target_and_tune_through_the_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = ExportOptions(
        model=None,
        out=tmp_path / "net",
        precision="fp32",
        tune=True,
        source=SourceOptions(arch="digits_lrnet", random_weights=True, kwargs={}),
    )
    result = run(options)
    assert result.passed
    assert (tmp_path / "cache" / "attnexport" / "tune.json").is_file()
    rewrites = [r for r in result.manifest.rewrites if r.op == "LocalAttention"]
    assert len(rewrites) == 3
    for rewrite in rewrites:
        assert rewrite.model == "model.onnx"
        assert rewrite.found.startswith("LocalAttention 7x7, ")
        assert rewrite.lowering == min(rewrite.milliseconds, key=lambda form: rewrite.milliseconds[form])
        assert rewrite.source.startswith("attnexport/models/attention/local_relation.py:")
        assert rewrite.module


def test_what_was_not_recognised_says_why_in_the_manifest(tmp_path: Path) -> None:
    torch.onnx.export(
        Halo().eval(), (torch.randn(1, 4, 8, 8),), tmp_path / "halo.onnx", dynamo=True, input_names=["x"], verbose=False
    )
    result = run(ExportOptions(model=tmp_path / "halo.onnx", out=tmp_path / "halo", precision="fp32"))
    (left,) = (r for r in result.manifest.rewrites if r.op == "Im2Col")
    assert left.refused["recognise"] == "ReduceMean 'node_mean' uses them in a way that is not a local product"
    assert left.lowering is not None


class Halo(nn.Module):
    """Windows of 6 at stride 4, each averaged: overlapping, and no product with anything."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, blocks)."""
        return nn.functional.unfold(x, 6, padding=1, stride=4).unflatten(1, (x.shape[1], 36)).mean(2)
