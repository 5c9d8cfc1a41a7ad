"""`attnexport MODEL --precision int8` and `fp8`, from the command to a bundle that is checked again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from attnexport.cli import main
from attnexport.models import registry
from attnexport.runtime.bundle.bundle import StoredBundle

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SAMPLES = EXAMPLES / "digits_samples.npz"
RTX = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")


def run(*argv: str | Path) -> int:
    try:
        main([str(word) for word in argv])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def refusal(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    assert run(*argv) == 2
    return capsys.readouterr().err.strip().removeprefix("attnexport: ")


def typed_nodes(bundle: StoredBundle, file: str) -> Sequence[onnx.NodeProto]:
    nodes: Sequence[onnx.NodeProto] = onnx.load(bundle.file(file)).graph.node
    return nodes


@pytest.mark.parametrize(
    ("name", "precision", "layers"),
    [
        *(
            pytest.param(name, precision, layers, marks=pytest.mark.sweep)
            for name, precision, layers in (
                ("digits_stn_cbam", "int8", 28),
                ("digits_sasa", "int8", 19),
                ("digits_lrnet", "int8", 19),
                ("digits_stn_cbam", "fp8", 28),
                ("digits_sasa", "fp8", 19),
                ("digits_lrnet", "fp8", 19),
            )
        ),
    ],
)
def test_a_trained_network_keeps_its_classes_and_its_accuracy(
    name: str, precision: str, layers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.attn"
    assert (
        run(EXAMPLES / f"{name}.pt", "--trt=rtx", "--precision", precision, "--samples", SAMPLES, "-o", out, "--quiet")
        == 0
    )
    bundle = StoredBundle.open(out)
    manifest = bundle.manifest
    assert {f"model.{precision}.onnx", "model.onnx"} <= set(manifest.files)
    assert manifest.files[f"model.{precision}.onnx"].role == f"model-{precision}"
    (engine,) = manifest.engines
    assert engine.file.startswith(f"engines/{precision}.rtx-")
    eight = "int8" if precision == "int8" else "FP8"
    assert any(o["dtype"] == eight for layer in engine.layers for o in layer["outputs"]), (
        "the engine computes in 8 bits"
    )
    assert manifest.precision.counts["quantised"] == layers
    assert not [kept for kept in manifest.precision.kept if kept.reason.startswith("sensitive")]
    (record,) = [one for one in manifest.parity if one.stage == f"emulated-{precision}"]
    assert record.precision == f"{precision}+float16"
    assert record.gate.passed
    assert record.gate.ratio < 1.5
    top = record.detail["samples"]["top1"] if "samples" in record.detail else record.detail["top1"]
    assert abs(top["accuracy"] - top["original_accuracy"]) <= (0.003 if precision == "int8" else 0.01)
    assert any("on 180 held-out ones the error is" in note for note in manifest.notes)
    capsys.readouterr()
    assert run("check", out, "--json") == 0
    checked = json.loads(capsys.readouterr().out)
    verdicts = {row["stage"]: row["verdict"] for row in checked["rows"]}
    assert verdicts == {"onnx-fp32": "passed", f"emulated-{precision}": "passed", f"engine-{precision}": "not run"}


@pytest.mark.parametrize(("arch", "precision"), [("vit_s16", "fp8"), ("resnet18_se", "int8")])
def test_a_reduced_network_of_the_registry_passes_its_gates(arch: str, precision: str, tmp_path: Path) -> None:
    options = json.dumps(dict(registry.entry(arch).reduced_options))
    out = tmp_path / "out.attn"
    words = [
        "--arch",
        arch,
        "--kwargs",
        options,
        "--random-weights",
        "--input",
        "x=2x3x64x64",
        "-o",
        str(out),
        "--quiet",
    ]
    assert run(*words, "--precision", precision) == 0
    manifest = StoredBundle.open(out).manifest
    assert manifest.precision.counts["quantised"] >= 10
    assert any("must not be used: pass real inputs with --samples" in note for note in manifest.notes)
    assert all(record.gate.passed for record in manifest.parity)


class Planted(nn.Module):
    """Six convolutions; a channel before the fourth is a thousand times as large as the others, and its weight undoes it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.layers = nn.ModuleList([nn.Conv2d(8, 8, 1) for _ in range(4)])
        self.head = nn.Linear(8, 4)
        with torch.no_grad():
            self.layers[1].weight[5] *= 1000
            self.layers[1].bias[5] *= 1000
            self.layers[2].weight[:, 5] /= 1000

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.export.export(Planted().eval(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "planted.pt2")
    np.savez(folder / "real.npz", x=np.random.default_rng(0).standard_normal((64, 3, 8, 8)).astype("f4"))
    return folder


def test_a_planted_sensitive_layer_is_left_in_fp16_and_named(planted: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.attn"
    model, samples = planted / "planted.pt2", planted / "real.npz"
    words = ["--precision", "int8", "--calibration", "minmax", "--quiet"]
    assert run(model, *words, "--samples", samples, "-o", out) == 0
    bundle = StoredBundle.open(out)
    (kept,) = [one for one in bundle.manifest.precision.kept if one.reason.startswith("sensitive")]
    assert kept.module == "layers.2"
    assert "% of the squared error of all layers in INT8: it computes in FP16" in kept.reason
    nodes = typed_nodes(bundle, "model.int8.onnx")
    makers = {name: node.op_type for node in nodes for name in node.output}
    layers = {n.name: makers.get(n.input[0]) == "DequantizeLinear" for n in nodes if n.op_type in ("Conv", "Gemm")}
    assert layers == {name: name != kept.node for name in layers}
    assert len(layers) == 6
    (record,) = [one for one in bundle.manifest.parity if one.stage == "emulated-int8"]
    assert record.gate.passed, "held to PyTorch with the same layer left"
    assert record.figures.relative < 0.05


def test_refusals_are_one_line(planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = planted / "planted.pt2"
    out = ["-o", str(tmp_path / "never.attn")]

    def said(*words: str) -> str:
        return refusal(capsys, model, *out, *words)

    assert said("--precision", "fp8", "--trt=rtx", "--compute-capability", "8.6") == (
        "compute capability 8.6 has no FP8 products. name 8.9 or later, or use --precision int8."
    )
    assert said("--precision", "int4") == "--precision int4 is not known. use one of auto, fp16, bf16, fp32, int8, fp8."
    assert said("--precision", "int8", "--calibration", "mean") == (
        "--calibration mean is not known. use one of auto, minmax, percentile."
    )
    assert said("--calibration", "minmax") == (
        "--calibration requires --precision int8 or fp8. leave it out, or quantise with --precision int8."
    )
    assert said("--precision", "int8", "--io-precision", "same").startswith("--io-precision same does not go with")
    few = tmp_path / "few.npy"
    np.save(few, np.zeros((1, 3, 8, 8), "f4"))
    assert said("--precision", "int8", "--samples", str(few)) == (
        "1 samples do not fill two batches of 1: one to calibrate, one to verify the result. pass more samples."
    )
    wrong = tmp_path / "wrong.npy"
    np.save(wrong, np.zeros((9, 3, 9, 8), "f4"))
    assert "axis 2 of array 'x'" in said("--precision", "int8", "--samples", str(wrong))
    assert not (tmp_path / "never.attn").exists()


def test_a_model_without_weights_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '<ir_version: 9, opset_import: ["" : 18]> net (float[2,4] x) => (float[2,4] y) { y = Relu(x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "relu.onnx")
    assert refusal(capsys, tmp_path / "relu.onnx", "--precision", "int8", "-o", tmp_path / "never.attn") == (
        "no layer can be INT8: none multiplies data by constant weights, or each must stay as it is. use --precision fp16."
    )
