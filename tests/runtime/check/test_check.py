"""A bundle proves itself again: right models pass, wrong ones fail with the reason, what cannot run says so."""

from __future__ import annotations

import json
import math
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import BundleError, InputError
from attnexport.runtime.bundle.figures import Figures, Gate, ParityRecord
from attnexport.runtime.bundle.golden import GoldenCase, write_golden
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.sections import EngineRecord
from attnexport.runtime.bundle.writer import BundleWriter
from attnexport.runtime.check.check import check
from attnexport.runtime.check.check_rows import CheckResult
from attnexport.runtime.cuda import cuda_device

SCALE = 1 / 3
CASES = {n: np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32) for n in (1, 2, 4)}
FIGURES = Figures(1e-9, 1e-9, 1e-9, 1.0, 1.0, 21)
FP32, FP16 = ("onnx-fp32", "model.onnx", "float32"), ("onnx-fp16", "model.fp16.onnx", "float16")
EMULATED = ("emulated-fp16", "model.fp16.onnx", "float16")


def _own(precision: str) -> float:
    """What NumPy itself errs at that precision, as PyTorch would."""
    errors = []
    for x in CASES.values():
        small = x.astype(precision)
        errors.append((small * np.array(SCALE, precision) + small.dtype.type(1)).astype(np.float64) - _truth(x))
    return float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))


def _truth(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) * SCALE + 1


def _record(stage: str, file: str, precision: str) -> ParityRecord:
    own = _own(precision)
    gate = Gate.judge(FIGURES, torch_rms=own, precision=precision, factor=2.0)
    return ParityRecord(stage, file, precision, "y", FIGURES, gate, own, {})


Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, plain: Manifest, affine_model: Callable[..., bytes]) -> Make:
    """Writes a bundle of the affine model in FP32 and FP16; ``models`` replaces files, ``change`` the manifest."""

    def write(
        models: dict[str, bytes] | None = None,
        change: Callable[[Manifest], Manifest] = lambda m: m,
        stages: tuple[tuple[str, str, str], ...] = (FP32, FP16, EMULATED),
        truth: Callable[[np.ndarray], np.ndarray] = _truth,
    ) -> Path:
        files = {"model.onnx": affine_model(SCALE), "model.fp16.onnx": affine_model(SCALE, half=True), **(models or {})}
        manifest = change(replace(plain, parity=tuple(_record(*s) for s in stages)))
        with BundleWriter(tmp_path / "net.attn") as writer:
            for name, content in files.items():
                (writer.path / name).parent.mkdir(exist_ok=True)
                (writer.path / name).write_bytes(content)
            cases = [GoldenCase(f"batch {n}", {"x": x}, {"y": truth(x)}) for n, x in CASES.items()]
            write_golden(writer.path / "golden.npz", cases)
            roles = {"model.onnx": "model-fp32", "model.fp16.onnx": "model-fp16", "golden.npz": "golden"}
            writer.commit(manifest, roles)
        return tmp_path / "net.attn"

    return write


def _verdicts(result: CheckResult) -> dict[str, str]:
    return {row.stage: row.verdict for row in result.rows}


def test_a_right_bundle_passes_with_figures_measured_anew(make: Make) -> None:
    result = check(make())
    assert _verdicts(result) == {"onnx-fp32": "passed", "onnx-fp16": "passed", "emulated-fp16": "passed"}
    assert (result.passed, result.cases, result.files) == (True, 3, 3)
    rows = {row.stage: row for row in result.rows}
    for stage, precision in (("onnx-fp32", "float32"), ("emulated-fp16", "float16")):
        row = rows[stage]
        assert row.error == pytest.approx(_own(precision), rel=0.3), "the model computes as NumPy does"
        assert row.error != FIGURES.rms, "not the manifest's own figure"
        assert row.ratio is not None
        assert 0.5 < row.ratio <= 2.0 == row.factor
        assert row.reason == ""
    assert "rounded to FP16 after every node" in rows["emulated-fp16"].how
    assert json.loads(json.dumps(result.to_json()))["passed"] is True


def test_a_model_that_is_a_little_off_fails_its_gate(make: Make, affine_model: Callable[..., bytes]) -> None:
    result = check(make({"model.onnx": affine_model(SCALE * (1 + 1e-5))}))
    assert _verdicts(result) == {"onnx-fp32": "failed", "onnx-fp16": "passed", "emulated-fp16": "passed"}
    assert not result.passed
    row = result.rows[0]
    assert row.ratio is not None
    assert row.ratio > 20
    assert row.reason.endswith("x PyTorch's error; the limit is 2x")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (b"junk", "model.onnx cannot be loaded"),
        (lambda build: build(float("nan")), "holds 3 NaN of 3 values"),
        (lambda build: build(float("inf")), "holds 3 Inf of 3 values"),
    ],
)
def test_a_model_that_fails_otherwise_is_a_failed_row(
    make: Make, affine_model: Callable[..., bytes], model: Any, reason: str
) -> None:
    result = check(make({"model.onnx": model if isinstance(model, bytes) else model(affine_model)}))
    row = result.rows[0]
    assert (row.verdict, row.error, row.ratio, result.passed) == ("failed", None, None, False)
    assert reason in row.reason


def test_a_truth_of_another_model_fails(make: Make) -> None:
    assert not check(make(truth=lambda x: x.astype(np.float64))).passed


def test_a_changed_file_is_found_before_anything_runs(make: Make, affine_model: Callable[..., bytes]) -> None:
    path = make()
    (path / "model.onnx").write_bytes(affine_model(SCALE + 1))
    with pytest.raises(BundleError, match="has changed"):
        check(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: replace(m, parity=()), "has no parity records"),
        (
            lambda m: replace(m, inputs=(replace(m.inputs[0], name="z"),)),
            "golden case 'batch 1' .* input 'z' is missing",
        ),
        (lambda m: replace(m, outputs=(replace(m.outputs[0], name="z"),)), "has outputs y and the manifest z"),
        (lambda m: replace(m, parity=(replace(m.parity[0], output="z"),)), "names an unknown output 'z'"),
    ],
)
def test_a_bundle_that_cannot_be_checked_is_refused(make: Make, change: Any, problem: str) -> None:
    with pytest.raises(BundleError, match=problem):
        check(make(change=change))


RTX = version("tensorrt-rtx-cu12") if find_spec("tensorrt_rtx") else "1.7.1"


PLAN = struct.pack("<4s12xQ", b"vtrt", 28) + b"plan"
"""The form of a plan of TensorRT-RTX, which no library reads."""


def _engine(flavour: str = "rtx", version: str = "1.7.1", capability: str | None = None) -> EngineRecord:
    return EngineRecord("engines/a.engine", flavour, version, "fp16", capability, (), (), 1.0, 4)


@pytest.mark.skipif(cuda_device() is not None, reason="a GPU is here")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not a plan of TensorRT-RTX"),
        (b"vtrt", "is not a plan of TensorRT-RTX"),
        (bytes(range(200)), "is not a plan of TensorRT-RTX"),
        (PLAN[:-1], "has 27 bytes, and its plan 28"),
        (PLAN + b"+", "has 29 bytes, and its plan 28"),
    ],
)
def test_a_file_that_is_not_a_whole_plan_is_refused_without_a_gpu(make: Make, content: bytes, problem: str) -> None:
    bundle = make({"engines/a.engine": content}, lambda m: replace(m, engines=(_engine(),)))
    with pytest.raises(BundleError, match=rf"engine 'engines/a\.engine' of .* {problem}"):
        check(bundle)


@pytest.mark.parametrize(("flavour", "version"), [("enterprise", "10.1"), ("rtx", "1.2.0")])
def test_plans_of_unknown_form_are_left_to_the_library(make: Make, flavour: str, version: str) -> None:
    bundle = make({"engines/a.engine": b"plan"}, lambda m: replace(m, engines=(_engine(flavour, version),)))
    assert "engines/a.engine" in {row.file for row in check(bundle).rows}


def test_an_engine_without_a_gpu_is_not_run_and_no_failure(make: Make) -> None:
    result = check(make({"engines/a.engine": PLAN}, lambda m: replace(m, engines=(_engine(),))))
    (row,) = (r for r in result.rows if r.file == "engines/a.engine")
    assert (row.stage, row.output, row.verdict, row.reason, row.factor) == (
        "engine-fp16",
        "y",
        "not run",
        "no GPU",
        2.0,
    )
    assert result.passed


@pytest.mark.skipif(cuda_device() is not None, reason="a GPU is here")
def test_a_check_without_any_run_does_not_pass(make: Make) -> None:
    stages = (("engine-fp16", "engines/a.engine", "float16"),)
    result = check(make({"engines/a.engine": PLAN}, lambda m: replace(m, engines=(_engine(),)), stages))
    assert [row.verdict for row in result.rows] == ["not run", "failed", "failed"]
    assert {row.reason for row in result.rows[1:]} == {"the manifest has no parity record of this model"}
    assert not result.passed


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (
            _engine(version=RTX, capability="8.6, 8.9"),
            r"was made for TensorRT-RTX 1\.\S+ and compute capability 8\.6, 8\.9; here is .*TensorRT-RTX 1\.\S+ on NVIDIA X, "
            r"compute capability 7\.5: another GPU; rebuild it .*: attnexport rebuild \S+net\.attn$",
        ),
        (
            _engine(version="1.2.0"),
            r"was made for TensorRT-RTX 1\.2\.0 and any GPU that it knows; .*: another version; ",
        ),
        (
            _engine("enterprise", "10.1"),
            "made for TensorRT 10.1 .*: another (flavour, TensorRT is not installed|version)",
        ),
    ],
)
def test_an_engine_for_another_machine_is_told_apart_before_it_is_loaded(
    make: Make, monkeypatch: pytest.MonkeyPatch, engine: EngineRecord, reason: str
) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr("attnexport.runtime.open.engine_fit.cuda_device", lambda: ("NVIDIA X", "7.5"))
    result = check(make({"engines/a.engine": PLAN}, lambda m: replace(m, engines=(engine,))))
    (row,) = (r for r in result.rows if r.file == "engines/a.engine")
    assert row.verdict == "not run"
    assert re.search(reason, row.reason)


def test_an_engine_of_a_precision_that_nobody_measured_is_refused(make: Make) -> None:
    path = make({"engines/a.engine": PLAN}, lambda m: replace(m, engines=(_engine(),)), (FP32,))
    with pytest.raises(BundleError, match=r"engine 'engines/a\.engine' has no float16 parity records"):
        check(path)


def test_it_needs_neither_torch_nor_onnx(make: Make) -> None:
    code = """
import sys
from importlib.abc import MetaPathFinder
class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda n, *a: None if n == "onnx" else real(n, *a)
from attnexport.runtime.check.check import check
notes = []
result = check(sys.argv[1], notes.append)
print([(r.stage, r.verdict, r.reason) for r in result.rows], result.passed, notes)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code, str(make())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "('emulated-fp16', 'not run', 'the package onnx is not installed')] True" in done.stdout
    assert "pip install onnx" in done.stdout


def _gated(factor: float, **changes: Any) -> Callable[[Manifest], Manifest]:
    """A manifest whose gates have another factor."""

    def change(manifest: Manifest) -> Manifest:
        gates = [replace(record.gate, factor=factor, **changes) for record in manifest.parity]
        return replace(manifest, parity=tuple(replace(r, gate=g) for r, g in zip(manifest.parity, gates, strict=True)))

    return change


def test_a_manifest_does_not_set_the_limit(make: Make, affine_model: Callable[..., bytes]) -> None:
    path = make({"model.onnx": affine_model(SCALE * (1 + 1e-5))}, _gated(1000.0, ratio=999.0))
    row = check(path).rows[0]
    assert (row.verdict, row.factor, row.recorded) == ("failed", 2.0, 1000.0)
    assert check(path, gate=1000.0).rows[0].verdict == "passed"


@pytest.mark.parametrize("gate", [0.0, -1.0, float("nan"), float("inf"), 1001.0])
def test_a_limit_that_means_nothing_is_refused(make: Make, gate: float) -> None:
    with pytest.raises(InputError, match="is not above 0 and at most 1000"):
        check(make(), gate=gate)


@pytest.mark.parametrize("torch_rms", [1.0, math.inf, 1e300])
def test_an_error_of_pytorch_that_says_nothing_is_unstable(make: Make, torch_rms: float) -> None:
    """As it would be in a manifest that was made to pass."""
    claimed = lambda m: replace(m, parity=tuple(replace(r, torch_rms=torch_rms) for r in m.parity))  # noqa: E731
    result = check(make(change=claimed))
    assert set(_verdicts(result).values()) == {"unstable"}
    assert not result.passed


def test_every_model_and_its_precision_are_covered(make: Make) -> None:
    result = check(make(change=lambda m: replace(m, parity=m.parity[:1])))
    assert [(row.file, row.reason) for row in result.rows if row.verdict == "failed"] == [
        ("model.fp16.onnx", "the manifest has no parity record of this model")
    ]


def test_a_model_is_not_compared_with_a_coarser_precision(make: Make) -> None:
    coarse = lambda m: replace(m, parity=(replace(m.parity[0], precision="int8+float16"), *m.parity[1:]))  # noqa: E731
    result = check(make(change=coarse))
    assert not result.passed
    assert "compares a fp32 model with another precision" in result.rows[-1].reason
