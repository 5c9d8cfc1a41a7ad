"""On a device: a virtual environment with what pyproject.toml asks of a runtime, and nothing else, so no torch.

The packages are those of this environment, linked into the other; which ones is worked out from their own metadata.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import venv
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import attnexport
from attnexport.runtime.bundle.figures import Figures, Gate, ParityRecord
from attnexport.runtime.bundle.golden import GoldenCase, write_golden
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.writer import BundleWriter
from attnexport.runtime.cuda import cuda_device

Run = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = ("torch", "onnxscript", "onnx_graphsurgeon", "onnx_ir")


def needed(names: Iterable[str]) -> set[str]:
    """The distributions that these need, and so on, as their metadata says for this machine, without extras."""
    packaging = pytest.importorskip("packaging.requirements")
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        wanted = map(packaging.Requirement, distribution(name).requires or ())
        waiting += [r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found - {"attnexport"}


def environment(folder: Path, names: Iterable[str]) -> Run:
    """A fresh virtual environment with these distributions and attnexport; what runs the command in it."""
    venv.create(folder, symlinks=True)
    packages = folder / "packages"
    packages.mkdir()
    (packages / "attnexport").symlink_to(Path(attnexport.__file__).parent)
    for name in names:
        files = distribution(name).files or ()
        for top in {Path(file).parts[0] for file in files} - {"..", "__pycache__"}:
            (packages / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(f"{packages}\n")

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        python = folder / "bin" / "python"
        return subprocess.run([python, "-I", *words], capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What ``pip install attnexport`` gives."""
    return environment(tmp_path_factory.mktemp("bare"), needed(["attnexport"]))


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What ``pip install attnexport onnx`` gives beside a TensorRT."""
    pytest.importorskip("tensorrt_rtx")
    return environment(tmp_path_factory.mktemp("device"), needed(["attnexport", "onnx", "tensorrt-rtx-cu12"]))


@pytest.fixture
def bundle(tmp_path: Path, plain: Manifest, affine_model: Callable[..., bytes]) -> Path:
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    figures = Figures(1e-9, 1e-9, 1e-9, 1.0, 1.0, 6)
    stages = [("onnx-fp32", "model.onnx", "float32", 1e-7), ("emulated-fp16", "model.fp16.onnx", "float16", 1e-3)]
    records = [
        ParityRecord(stage, file, kind, "y", figures, Gate.judge(figures, torch_rms=own, precision=kind, factor=2.0), own, {})
        for stage, file, kind, own in stages
    ]  # fmt: skip
    with BundleWriter(tmp_path / "net.attn") as writer:
        (writer.path / "model.onnx").write_bytes(affine_model(0.5))
        (writer.path / "model.fp16.onnx").write_bytes(affine_model(0.5, half=True))
        write_golden(
            writer.path / "golden.npz", [GoldenCase("batch 2", {"x": x}, {"y": x.astype(np.float64) * 0.5 + 1})]
        )
        roles = {"model.onnx": "model-fp32", "model.fp16.onnx": "model-fp16", "golden.npz": "golden"}
        writer.commit(replace(plain, parity=tuple(records)), roles)
    return tmp_path / "net.attn"


def attnexport_json(run: Run, *words: str | Path) -> dict[str, Any]:
    done = run("-m", "attnexport", *words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("package", [*HEAVY, "tensorrt_rtx", "onnx"])
def test_the_bare_environment_has_none_of_the_exports_packages(bare: Run, package: str) -> None:
    done = bare("-c", f"import {package}")
    assert f"No module named '{package}'" in done.stderr
    assert find_spec("torch") is not None, "it is hidden, not missing everywhere"


def test_check_proves_a_bundle_without_torch_or_onnx(bare: Run, bundle: Path) -> None:
    told = attnexport_json(bare, "check", bundle)
    assert told["passed"] is True
    rows = {row["stage"]: row for row in told["rows"]}
    assert rows["onnx-fp32"]["verdict"] == "passed"
    assert (rows["emulated-fp16"]["verdict"], rows["emulated-fp16"]["reason"]) == (
        "not run",
        "the package onnx is not installed",
    )


def test_check_without_torch_still_sees_a_wrong_model(
    bare: Run, bundle: Path, affine_model: Callable[..., bytes]
) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    wrong = affine_model(0.501)
    (bundle / "model.onnx").write_bytes(wrong)
    manifest["files"]["model.onnx"] |= {"sha256": hashlib.sha256(wrong).hexdigest(), "bytes": len(wrong)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    done = bare("-m", "attnexport", "check", bundle)
    assert done.returncode == 1
    assert "bundle not verified" in done.stdout


def test_rebuild_without_tensorrt_prints_the_install_command(bare: Run, bundle: Path) -> None:
    done = bare("-m", "attnexport", "rebuild", bundle)
    assert done.returncode == 2
    assert "no TensorRT is installed" in done.stderr


@pytest.mark.skipif(cuda_device() is not None, reason="a GPU is here")
def test_rebuild_makes_the_engine_and_check_proves_the_rest(device: Run, bundle: Path) -> None:
    for package in HEAVY:
        assert f"No module named '{package}'" in device("-c", f"import {package}").stderr
    built = attnexport_json(device, "rebuild", bundle, "--trt=rtx", "--workspace", "64M")
    (engine,) = built["engines"]
    assert (engine["precision"], engine["model"]) == ("fp16", "model.fp16.onnx")
    assert engine["detail"]["memory"]["weights"] >= 0
    assert (bundle / engine["file"]).stat().st_size == engine["bytes"] > 10_000
    told = attnexport_json(device, "check", bundle)
    assert {row["stage"]: row["verdict"] for row in told["rows"]} == {
        "onnx-fp32": "passed", "emulated-fp16": "passed", "engine-fp16": "not run",
    }  # fmt: skip
