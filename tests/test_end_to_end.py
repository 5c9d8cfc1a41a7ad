"""The main job on real models and real digits: `attnexport examples/digits_*.pt --trt`, and every other form that a user hands in."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from attnexport.cli import main
from attnexport.export.engine import EngineOptions, build_engine, find_flavour
from attnexport.export.progress import Silent
from attnexport.export.source import SourceOptions, load
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.inputs.feeds import batches
from attnexport.runtime.sessions import Session
from attnexport.runtime.sessions.emulated import open_emulated
from attnexport.runtime.sessions.ort import OrtSession

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SAMPLES = EXAMPLES / "digits_samples.npz"
DIGITS = ("digits_stn_cbam", "digits_sasa", "digits_lrnet")


def run(*argv: str | Path) -> int:
    try:
        main([str(word) for word in argv])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module", params=DIGITS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StoredBundle:
    out = tmp_path_factory.mktemp("bundles") / f"{request.param}.attn"
    model = EXAMPLES / f"{request.param}.pt"
    assert run(model, "--trt=rtx", "--samples", SAMPLES, "--out", out, "--quiet") == 0
    return StoredBundle.open(out)


def test_a_bundle_holds_both_models_an_engine_and_golden_cases(bundle: StoredBundle) -> None:
    files = {name: record.role for name, record in bundle.manifest.files.items()}
    engine = next(name for name, role in files.items() if role == "engine")
    # A spatial transformer's report shows what it samples.
    sampled = ["report.npz"] if bundle.manifest.name == "digits_stn_cbam" else []
    assert files == {
        "model.onnx": "model-fp32",
        "model.fp16.onnx": "model-fp16",
        engine: "engine",
        "golden.npz": "golden",
        "report.html": "report",
        **dict.fromkeys(sampled, "report"),
    }
    assert bundle.file(engine).stat().st_size > 100_000
    assert sorted(p.name for p in bundle.path.iterdir()) == [
        "engines",
        "golden.npz",
        "manifest.json",
        "model.fp16.onnx",
        "model.onnx",
        "report.html",
        *sampled,
    ]
    assert [stage.name for stage in bundle.manifest.stages] == [
        "source",
        "capture",
        "simplify",
        "raise",
        "recognise",
        "lower",
        "fp16",
        "engine",
        "verify",
    ]


def test_only_standard_operators_that_tensorrt_runs_are_left(bundle: StoredBundle) -> None:
    for name in ("model.onnx", "model.fp16.onnx"):
        model = onnx.load(bundle.file(name))
        onnx.checker.check_model(model, full_check=True)
        assert {o.domain for o in model.opset_import} == {""}
        operators = {node.op_type for node in model.graph.node}
        assert not operators & {"Col2Im", "AffineGrid", "Gather", "GatherND", "ScatterND", "ScatterElements"}
        (x,) = model.graph.input
        assert [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] == ["batch", 3, 32, 32]
        assert x.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert all(y.type.tensor_type.shape.dim[0].dim_param == "batch" for y in model.graph.output)


def test_fp32_errs_at_most_twice_as_much_as_pytorch_and_fp16_is_held_under_emulation(bundle: StoredBundle) -> None:
    records = {record.stage: record for record in bundle.manifest.parity}
    assert set(records) == {"onnx-fp32", "onnx-fp16", "emulated-fp16"}
    for record in records.values():
        assert record.gate.passed and record.gate.factor == 2.0
        assert record.figures.reference_rms > 0
        assert np.isfinite([record.figures.rms, record.figures.max_abs]).all()
        assert 0 < record.gate.ratio <= (1.5 if record.stage == "emulated-fp16" else 2.0)
        assert record.gate.torch_rms > 0
        top1 = record.detail["top1"]
        assert top1["disagreements"] == top1["within_margin"], "only ties change"
    assert records["onnx-fp32"].detail["top1"]["agreement"] == 1.0
    assert records["emulated-fp16"].detail["top1"]["agreement"] >= 0.995
    assert records["onnx-fp32"].detail["top1"]["accuracy"] >= 0.95


@cache
def samples_and_reference(name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """All held-out digits, and the logits of the original module in FP64, (N, 10)."""
    with np.load(SAMPLES) as archive:
        x = {"x": archive["x"]}
    source = load(EXAMPLES / f"{name}.pt", SourceOptions())
    assert source.module is not None
    module = source.module.double()
    with torch.no_grad():
        logits = [module(torch.from_numpy(batch["x"]).double()).numpy() for batch in batches(x, 64)]
    return x, np.concatenate(logits)


@pytest.mark.parametrize("size", [1, 7, 16])
def test_top1_agrees_with_fp64_over_all_held_out_samples_at_every_batch_size(bundle: StoredBundle, size: int) -> None:
    x, reference = samples_and_reference(bundle.manifest.name)

    def agreement(session: Session) -> float:
        logits = np.concatenate([session.run(batch)["logits"] for batch in batches(x, size)])
        return float((logits.argmax(1) == reference.argmax(1)).mean())

    assert agreement(OrtSession(bundle.file("model.onnx"))) == 1.0
    assert agreement(open_emulated(bundle.file("model.fp16.onnx"))) >= 0.995


def test_the_engine_is_described_by_layer_with_its_profile(bundle: StoredBundle) -> None:
    (engine,) = bundle.manifest.engines
    assert (engine.flavour, engine.precision) == ("rtx", "fp16")
    assert bundle.file(engine.file).stat().st_size == engine.bytes
    assert engine.profiles == ({"x": {"min": [1, 3, 32, 32], "opt": [4, 3, 32, 32], "max": [16, 3, 32, 32]}},)
    assert len(engine.layers) > 10
    dtypes = {output["dtype"] for layer in engine.layers for output in layer["outputs"]}
    assert "float16" in dtypes
    assert any(layer["modules"] for layer in engine.layers)


def test_the_fp32_model_is_built_into_an_engine_too(bundle: StoredBundle) -> None:
    inputs = bundle.manifest.inputs
    built = build_engine(bundle.file("model.onnx"), inputs, find_flavour("rtx"), EngineOptions(), {}, Silent())
    assert len(built.plan) > 10_000


def test_rewrites_and_precisions_name_modules_and_reasons_and_no_path_of_this_machine(bundle: StoredBundle) -> None:
    operators = {r.op for r in bundle.manifest.rewrites}
    assert (
        operators
        == {
            "digits_stn_cbam": {"AffineGrid", "GridSample"},
            "digits_sasa": {"LocalAttention"},
            "digits_lrnet": {"LocalAttention"},
        }[bundle.manifest.name]
    )
    for rewrite in bundle.manifest.rewrites:
        assert rewrite.module
        assert rewrite.source.startswith("attnexport/models/attention/")
        assert rewrite.lowering
    kept = " ".join(k.reason for k in bundle.manifest.precision.kept)
    assert ("coordinates" in kept) == (bundle.manifest.name == "digits_stn_cbam")
    text = (bundle.path / "manifest.json").read_text()
    assert str(EXAMPLES.parent) not in text
    assert str(Path.home()) not in text


BLOCKED = """
import sys
for name in ("torch", "onnx", "tensorrt", "tensorrt_rtx"):
    sys.modules[name] = None  # as if it were not installed
from attnexport.cli import main
main(sys.argv[1:])
"""


def test_a_bundle_is_proved_again_without_torch_and_refused_once_it_is_touched(
    bundle: StoredBundle, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", BLOCKED, "check", "--json"]
    done = subprocess.run([*command, str(bundle.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    rows = {row["stage"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["onnx-fp32"]["verdict"] == rows["onnx-fp16"]["verdict"] == "passed"
    assert rows["engine-fp16"]["verdict"] == "not run" or rows["engine-fp16"]["verdict"] == "passed"

    copy = tmp_path / "copy.attn"
    subprocess.run(["cp", "-r", str(bundle.path), str(copy)], check=True)
    data = bytearray((copy / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model.onnx").write_bytes(bytes(data))
    done = subprocess.run([*command, str(copy)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "model.onnx" in json.loads(done.stdout)["error"]


def test_inspect_and_check_speak_to_people(bundle: StoredBundle, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", bundle.path, "--layers") == 0
    shown = capfd.readouterr().out
    for words in ("rewrites", "operators", "engine", "parity", "features.", "attention/"):
        assert words in shown
    assert run("check", bundle.path) == 0
    assert "bundle verified" in capfd.readouterr().out


class Small(nn.Module):
    """Local attention without parameters of its own, between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv2d(3, 8, 3, padding=1)
        self.after = nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.before(x)
        n, c, h, w = y.shape
        windows = nn.functional.unfold(y, 3, padding=1).view(n, c, 9, h, w)
        weights = torch.softmax((y[:, :, None] * windows).sum(1, keepdim=True), 2)
        return self.after((weights * windows).sum(2))


def make(form: str, module: Small) -> list[str | Path]:
    """Write ``module`` in one of the forms that a user hands in; the words of the command."""
    x = torch.randn(2, 3, 8, 9)
    named = ["--factory", "small_model:Small", "--input", "x=2x3x8x9"]
    if form == "state dict":
        torch.save({"epoch": 3, "model": {f"module.{k}": v for k, v in module.state_dict().items()}}, "net.pth")
        return ["net.pth", *named]
    if form == "safetensors":
        save_file(module.state_dict(), "net.safetensors")
        return ["net.safetensors", *named]
    if form == "exported program":
        dynamic = ({0: torch.export.Dim("batch", min=1, max=16)},)
        torch.export.save(torch.export.export(module, (x,), dynamic_shapes=dynamic), "net.pt2")
        return ["net.pt2"]
    if form == "torchscript":
        torch.jit.save(torch.jit.trace(module, x), "net.pt")
        return ["net.pt", "--input", "x=2x3x8x9"]
    if form == "pickle":
        torch.save(module, "net.pt")
        return ["net.pt", "--allow-pickle", "--input", "x=2x3x8x9"]
    if form == "onnx":
        torch.onnx.export(
            module, (x,), "net.onnx", dynamo=True, verbose=False, dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
        return ["net.onnx", "--dynamic", "x:0=1:2:4"]
    return ["--random-weights", *named]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "form", ["state dict", "safetensors", "exported program", "torchscript", "pickle", "onnx", "random weights"]
)
def test_every_form_of_a_model_becomes_a_bundle(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = Path(__file__).read_text(encoding="utf-8")
    start, end = source.index("class Small"), source.index("def make(")
    Path("small_model.py").write_text(f"import torch\nfrom torch import nn\n\n\n{source[start:end]}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "small_model", raising=False)
    torch.manual_seed(0)
    from small_model import Small as Own  # type: ignore[import-not-found]

    words = make(form, Own().eval())
    capfd.readouterr()
    code = run(*words, "--trt=rtx", "--out", "net.attn", "--json")
    out, err = capfd.readouterr()
    assert code == 0, err + out
    result = json.loads(out)
    assert result["passed"]
    manifest = StoredBundle.open("net.attn").manifest
    assert manifest.inputs[0].axes[0].symbol is not None
    assert len(manifest.engines) == 1
    found = {(r.model, r.op) for r in manifest.rewrites}
    assert found == {(file, "LocalAttention") for file in ("model.onnx", "model.fp16.onnx")}, (
        "from windows kept by capture, or raised from Gathers"
    )
    assert "Gather" not in manifest.operators["model.onnx"]
    if form == "state dict":
        said = " ".join(manifest.notes)
        assert "module." in said
        assert "model" in said


def test_a_failed_gate_exits_1_and_leaves_nothing_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [EXAMPLES / "digits_stn_cbam.pt", "--precision", "fp32", "--static", "--gate", "1e-6", "--out", "x.attn"]
    assert run(*words) == 1
    err = capfd.readouterr().err
    assert "x PyTorch's FP32 error; the limit is " in err
    assert "--keep-failed" in err
    assert list(tmp_path.iterdir()) == []
    assert run(*words, "--keep-failed") == 1
    assert "FAIL" in capfd.readouterr().out
    (record,) = StoredBundle.open("x.attn").manifest.parity
    assert not record.gate.passed


def test_a_run_that_is_killed_leaves_no_bundle_and_the_next_one_sweeps_up(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "attnexport",
        str(EXAMPLES / "digits_stn_cbam.pt"),
        "--out",
        str(tmp_path / "x.attn"),
        "--precision",
        "fp32",
        "--static",
        "--quiet",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        deadline = time.monotonic() + 120
        while not list(tmp_path.rglob("model.onnx")):
            assert running.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        running.kill()
    assert not (tmp_path / "x.attn").exists()
    assert len(list(tmp_path.iterdir())) == 1, "what the killed run left is hidden"
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["x.attn"]


def test_quiet_prints_the_path_alone_and_json_one_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [EXAMPLES / "digits_stn_cbam.pt", "--precision", "fp32", "--static", "--force", "--out", "x.attn"]
    assert run(*words, "--quiet") == 0
    assert capfd.readouterr() == ("x.attn\n", "")
    assert run(*words, "--json") == 0
    out, err = capfd.readouterr()
    assert err == ""
    result = json.loads(out)
    assert (result["passed"], result["bundle"], result["failures"]) == (True, "x.attn", [])
    assert result["manifest"]["inputs"][0]["axes"] == [4, 3, 32, 32]


def test_an_architecture_exports_from_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One small network; tests/models/test_export_registry.py exports every network, reduced or behind the sweep."""
    monkeypatch.chdir(tmp_path)
    name = "digits_stn_cbam"
    assert run("--arch", name, "--random-weights", "--precision", "fp32", "--quiet") == 0
    assert StoredBundle.open(f"{name}.attn").manifest.source.arch == name
