"""Whole benchmarks of a model of two matrix products: the participants, the refusals, and the figures."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._inductor import config as inductor_config

from attnexport.errors import BundleError, InputError, StageError
from attnexport.export.bench import BenchOptions, BenchReport, bench
from attnexport.export.bench import rounds as rounds_module
from attnexport.export.bench.measured_model import measured_model
from attnexport.export.options import ExportOptions, read_options
from attnexport.export.progress import Silent
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.sections import AttentionRecord

QUICK = {"rounds": 5, "seconds": 1.0, "threads": 1, "memory": False, "device": "cpu"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the pauses: these tests do not assert times."""
    monkeypatch.setattr(rounds_module.WallClock, "settle", 0.0)
    monkeypatch.setattr(rounds_module, "WARM_SECONDS", 0.0)


def model(name: str, *inputs: str, dynamic: tuple[str, ...] = ("x:0=1:2:8",)) -> ExportOptions:
    return read_options(
        model=Path(name), trt=None, precision="fp32", kwargs="{}", workspace=None, gate=2.0, inputs=inputs or ("x=2x8x6",),
        dynamic=dynamic,
    )  # fmt: skip


def small(**kwargs: object) -> nn.Module:
    """The module of the bundle; with ``seed``, other weights."""
    from bench_factories import Small  # type: ignore[import-not-found]  # the fixture's folder

    return Small(**kwargs)  # type: ignore[no-any-return]


def states(report: BenchReport) -> dict[str, str]:
    return {entrant.name: entrant.state for entrant in report.entrants}


@pytest.fixture
def importable(factories: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop(factories, None)


@pytest.mark.usefixtures("importable")
def test_a_bundle_compared_with_its_module(small_bundle: Path) -> None:
    module = small().train()
    threads = torch.get_num_threads()
    report = bench(
        BenchOptions(
            small_bundle, contenders=["eager", "plain", "attnexport"], batches=[1, 8], target_latency=1e4, **QUICK
        ),
        module=module,
    )
    assert states(report) == {"eager": "measured", "plain": "measured", "attnexport": "measured"}
    assert [(point.sizes, point.batch) for point in report.points] == [({"batch": 1}, 1), ({"batch": 8}, 8)]
    for point in report.points:
        assert [timing.contender for timing in point.timings] == ["eager", "plain", "attnexport"]
        plain = point.timings[1]
        for timing in point.timings:
            assert timing.rounds == 5 <= timing.calls
            assert 0 < timing.fastest <= timing.median.low <= timing.median.value <= timing.median.high
            assert timing.median.value <= timing.p95
            assert timing.per_second == pytest.approx(point.batch / timing.median.value * 1e3)
            assert timing.ratio is not None
            assert timing.ratio.value == pytest.approx(plain.median.value / timing.median.value)
            assert timing.ratio.low <= timing.ratio.value <= timing.ratio.high
    assert all(entrant.error is not None and entrant.error < 1e-5 for entrant in report.entrants)
    assert report.target is not None
    assert {c.contender: c.batch for c in report.target.capacities} == {"eager": 8, "plain": 8, "attnexport": 8}
    assert (report.settings.baseline, report.settings.tf32, report.settings.clock) == ("plain", False, "wall")
    assert module.training and torch.get_num_threads() == threads, "the caller's module and settings are unchanged"


@pytest.mark.usefixtures("importable")
def test_a_wrong_contender_is_not_timed(small_bundle: Path) -> None:
    """A module with other weights: PyTorch's contenders and the plain export of that module are wrong."""
    options = BenchOptions(small_bundle, contenders=["eager", "plain", "attnexport"], batches=[2], **QUICK)
    report = bench(options, module=small(seed=1))
    assert states(report) == {"eager": "wrong", "plain": "wrong", "attnexport": "measured"}
    assert "output 'output' of eager: error is" in report.entrant("eager").reason
    assert [timing.contender for timing in report.points[0].timings] == ["attnexport"]
    assert report.settings.baseline == "attnexport"


def test_without_the_original_pytorch_contenders_are_absent(small_bundle: Path) -> None:
    report = bench(BenchOptions(small_bundle, batches=[2], **QUICK))
    contenders = states(report)
    assert contenders.pop("openvino") in ("measured", "absent")
    assert contenders == {
        "eager": "absent",
        "compile": "absent",
        "plain": "absent",
        "attnexport": "measured",
        "tensorrt": "absent",
    }
    assert report.entrant("eager").reason.startswith("requires the original model: pass --model")
    assert report.entrant("tensorrt").reason == "no GPU found"
    assert report.entrant("attnexport").error == 0.0


def test_a_model_is_exported_first(factories: str) -> None:
    """torch.onnx has no translation for adaptive max pooling: the plain export fails."""
    reporter = Silent()
    options = BenchOptions(
        model=model(f"{factories}:Adaptive", "x=2x8x6", dynamic=()),
        contenders=["eager", "plain", "attnexport"],
        batches=[2],
        **QUICK,
    )
    report = bench(options, reporter)
    assert states(report) == {"eager": "measured", "plain": "failed", "attnexport": "measured"}
    assert "torch.onnx.export fails: No ONNX function found for" in report.entrant("plain").reason
    assert any(note.startswith("plain failed: torch.onnx.export fails") for note in reporter.notes)
    assert report.settings.baseline == "eager"
    assert [timing.contender for timing in report.points[0].timings] == ["eager", "attnexport"]


def test_an_onnx_file_is_the_plain_contender(small_bundle: Path) -> None:
    options = BenchOptions(model=model(str(small_bundle / "model.onnx"), "x=2x8x6"), batches=[2], **QUICK)
    report = bench(options)
    contenders = states(report)
    assert (contenders["plain"], contenders["attnexport"], contenders["eager"], contenders["compile"]) == (
        "measured",
        "measured",
        "absent",
        "absent",
    )
    assert report.entrant("eager").reason == "the model is an ONNX graph without a PyTorch module"
    assert "plain torch.onnx, ONNX Runtime: the original ONNX file" in report.notes


@pytest.mark.usefixtures("importable")
def test_without_a_compiler_the_other_contenders_go_on(
    small_bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A missing C++ compiler is the most frequent reason."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    options = BenchOptions(small_bundle, contenders=["compile", "attnexport"], batches=[2], **QUICK)
    with inductor_config.patch({"cpp.cxx": ("/nowhere/c++",)}):
        report = bench(options, module=small())
    assert states(report) == {"compile": "failed", "attnexport": "measured"}
    assert "compiler" in report.entrant("compile").reason


@pytest.mark.sweep
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler for inductor")
@pytest.mark.usefixtures("importable")
def test_compiled_code_is_correct_at_every_batch(small_bundle: Path) -> None:
    """The module is compiled separately for each batch, which is slow."""
    report = bench(BenchOptions(small_bundle, contenders=["compile"], batches=[1, 3], **QUICK), module=small())
    assert states(report) == {"compile": "measured"}
    assert [point.batch for point in report.points] == [1, 3]
    assert report.entrant("compile").error is not None and report.entrant("compile").error < 1e-5


def test_openvino_computes_in_fp32(small_bundle: Path) -> None:
    pytest.importorskip("openvino")
    report = bench(BenchOptions(small_bundle, contenders=["openvino"], batches=[1, 3], **QUICK))
    assert states(report) == {"openvino": "measured"}
    assert report.entrant("openvino").error is not None and report.entrant("openvino").error < 1e-5


@pytest.mark.usefixtures("importable")
def test_a_failed_baseline_leaves_no_ratios(small_bundle: Path) -> None:
    options = BenchOptions(small_bundle, contenders=["eager", "attnexport"], baseline="eager", batches=[2], **QUICK)
    report = bench(options, module=small(seed=1))
    assert [timing.ratio for timing in report.points[0].timings] == [None]
    assert any(note.startswith("there are no ratios: the baseline eager is wrong: output") for note in report.notes)


@pytest.mark.usefixtures("importable")
def test_a_class_that_cannot_be_pickled_is_timed_without_its_memory(small_bundle: Path) -> None:
    class Local(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)  # type: ignore[no-any-return]

    reporter = Silent()
    options = BenchOptions(small_bundle, contenders=["eager", "attnexport"], batches=[2], **{**QUICK, "memory": True})
    report = bench(options, reporter, module=Local())
    eager, attnexport = report.points[0].timings
    assert eager.memory is None
    assert attnexport.memory is not None and attnexport.memory.peak is not None
    assert "memory of eager not measured: its module cannot be pickled" in reporter.notes


@pytest.mark.usefixtures("importable")
def test_a_contender_that_fails_at_a_larger_batch_keeps_its_smaller_points(small_bundle: Path) -> None:
    """A batch of 8 ends its separate process, so the benchmark does not run it again."""
    options = BenchOptions(
        small_bundle, contenders=["eager", "attnexport"], batches=[2, 8], **{**QUICK, "memory": True}
    )
    report = bench(options, module=small(most=4))
    assert states(report) == {"eager": "failed", "attnexport": "measured"}
    assert report.entrant("eager").reason.startswith("batch 8: the process ended (SIGABRT)")
    assert [[timing.contender for timing in point.timings] for point in report.points] == [
        ["eager", "attnexport"],
        ["attnexport"],
    ]
    assert [timing.memory is not None for timing in report.points[0].timings] == [True, True]
    assert report.settings.baseline == "eager" and report.points[1].timings[0].ratio is None


@pytest.mark.usefixtures("importable")
def test_a_contender_that_fails_in_its_turn_does_not_stop_the_others(small_bundle: Path) -> None:
    reporter = Silent()
    options = BenchOptions(small_bundle, contenders=["eager", "attnexport"], batches=[2], **QUICK)
    report = bench(options, reporter, module=small(calls=6))
    assert report.entrant("eager").reason == "RuntimeError: called too often"
    assert [(timing.contender, timing.rounds) for timing in report.points[0].timings] == [("attnexport", 5)]
    assert "eager failed: RuntimeError: called too often" in reporter.notes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"contenders": ["eager"]}, "eager cannot run here: requires the original model"),
        ({"contenders": ["tensorrt"]}, "tensorrt cannot run here: no GPU found"),
        ({"contenders": ["attnexport-fp16"]}, "attnexport-fp16 cannot run here: the bundle has no fp16 model"),
        ({"baseline": "plain"}, "plain cannot run here"),
        ({"batches": [9]}, "--batch 9 is out of 1..8"),
    ],
)
def test_named_contenders_and_sizes_must_be_available(
    small_bundle: Path, changes: dict[str, list[str]], words: str
) -> None:
    with pytest.raises(InputError) as raised:
        bench(BenchOptions(small_bundle, **{**QUICK, **changes}))
    assert words in str(raised.value)


def test_a_model_that_is_not_the_original_of_the_bundle(small_bundle: Path, factories: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        bench(BenchOptions(tmp_path / "gone.attn", **QUICK))
    other = tmp_path / "other.pt"
    other.write_bytes(b"another")
    with pytest.raises(InputError, match=r"other\.pt has sha256"):
        bench(BenchOptions(small_bundle, model=model(str(other)), **QUICK))


@pytest.mark.usefixtures("importable")
def test_a_benchmark_without_measured_contenders_fails(small_bundle: Path) -> None:
    with pytest.raises(
        StageError, match=r"bench: no contender could be measured: eager: output 'output' of eager: error"
    ):
        bench(BenchOptions(small_bundle, contenders=["eager"], batches=[2], **QUICK), module=small(seed=1))


def test_attention_maps_are_not_compared(small_bundle: Path, tmp_path: Path) -> None:
    """A bundle whose only output is an attention map has no outputs to compare."""
    copied = Path(shutil.copytree(small_bundle, tmp_path / "maps.attn"))
    manifest = StoredBundle.open(copied).manifest
    mapped = replace(manifest, attention=(AttentionRecord("output", "query", "Small", "tokens"),))
    (copied / "manifest.json").write_text(mapped.dumps(), encoding="utf-8")
    with measured_model(BenchOptions(copied), Silent()) as subject:
        assert subject.outputs == ()
    with measured_model(BenchOptions(small_bundle), Silent()) as subject:
        assert [spec.name for spec in subject.outputs] == ["output"]
    report = bench(BenchOptions(copied, contenders=["attnexport"], batches=[2], **QUICK))
    assert (
        report.notes[0] == "attnexport's models also output an attention map, which PyTorch's contenders do not compute"
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that this PyTorch can use")
@pytest.mark.usefixtures("importable")
def test_on_a_gpu_events_clocks_and_memory_are_reported(small_bundle: Path) -> None:
    options = BenchOptions(
        small_bundle,
        contenders=["eager", "compile", "attnexport"],
        batches=[2],
        **{**QUICK, "device": "cuda", "memory": True},
    )
    report = bench(options, module=small())
    assert states(report) == {"eager": "measured", "compile": "measured", "attnexport": "measured"}
    assert report.settings.clock == "cuda-events"
    assert (
        report.machine.gpu is not None and report.machine.gpu.clock is not None and report.machine.gpu.power is not None
    )
    assert all(timing.memory is not None and timing.memory.device is not None for timing in report.points[0].timings)
