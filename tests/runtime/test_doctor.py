"""The diagnosis: each component's version from its metadata, each target's verdict from what it stands on, no crash."""

from __future__ import annotations

import json
import platform
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from attnexport.errors import MissingBackendError
from attnexport.runtime import doctor
from attnexport.runtime.cuda import cuda_device
from attnexport.runtime.doctor import Component, diagnose

COMPONENTS = [
    "python", "numpy", "onnxruntime", "torch", "onnx", "onnxscript", "onnx-graphsurgeon", "tensorrt", "tensorrt_rtx",
    "gpu", "confinement",
]  # fmt: skip
TARGETS = ["target export", "target ort-cpu", "target ort-cuda", "target tensorrt", "target tensorrt-rtx"]


@pytest.fixture
def found() -> dict[str, Component]:
    return {f.component: f for f in diagnose()}


def test_every_component_and_target_is_named_in_order(found: dict[str, Component]) -> None:
    assert list(found) == COMPONENTS + TARGETS


def test_versions_are_those_installed(found: dict[str, Component]) -> None:
    assert found["python"].version == platform.python_version()
    assert found["numpy"].version == np.__version__
    assert found["torch"].version == metadata.version("torch")
    assert "CPU" in found["onnxruntime"].detail


def test_whatever_is_not_ok_has_a_remedy_and_one_line(found: dict[str, Component]) -> None:
    for finding in found.values():
        assert finding.status in ("ok", "missing", "broken")
        assert finding.status == "ok" or finding.remedy, finding
        assert "\n" not in finding.detail
        json.dumps(finding.to_json())


def test_the_cpu_target_ran_a_model(found: dict[str, Component]) -> None:
    assert (found["target ort-cpu"].status, found["target ort-cpu"].detail) == ("ok", "runs a model here")


@pytest.mark.skipif(cuda_device() is not None, reason="a GPU is here")
def test_without_a_gpu_the_targets_describe_their_limits(found: dict[str, Component]) -> None:
    pytest.importorskip("tensorrt_rtx")
    assert found["gpu"].status == "missing"
    assert found["target ort-cuda"].status == "missing"
    assert found["target tensorrt"].status == "missing"
    assert found["target tensorrt-rtx"].status == "ok"
    assert found["target tensorrt-rtx"].detail.startswith("builds engines here; running them needs an RTX GPU")


def test_what_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "version", absent)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setattr(doctor.importlib, "import_module", _no_module)
    found = {f.component: f for f in diagnose()}
    assert {n: f.status for n, f in found.items() if n not in ("python", "gpu", "confinement")} == dict.fromkeys(
        [c for c in COMPONENTS + TARGETS if c not in ("python", "gpu", "confinement")], "missing"
    )
    assert found["tensorrt_rtx"].remedy == found["target tensorrt-rtx"].remedy == "pip install 'attnexport[rtx]'"
    assert found["tensorrt"].remedy == "pip install 'attnexport[trt]'"
    assert found["torch"].remedy == found["target export"].remedy == "pip install 'attnexport[export]'"


def _no_module(name: str) -> None:
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize(
    "error", ["ImportError('libnvinfer.so.11: cannot open')", "OSError('bad ELF')", "RuntimeError('a\\nb')"]
)
def test_a_library_that_does_not_load_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    (tmp_path / "tensorrt.py").write_text(textwrap.dedent(f"raise {error}"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    found = {f.component: f for f in diagnose()}
    assert found["tensorrt"].status == found["target tensorrt"].status == "broken"
    assert found["tensorrt"].detail.startswith("does not load: ")
    assert found["tensorrt"].remedy == "pip install --force-reinstall 'attnexport[trt]'"
    assert "\n" not in found["tensorrt"].detail


class _FakeDriver:
    """A machine with a GPU of some compute capability."""

    capability = "8.9"

    def name(self) -> str:
        return "NVIDIA X"

    def version(self) -> str:
        return "12.8"

    def compute_capability(self) -> str:
        return self.capability


@pytest.mark.parametrize(
    ("capability", "detail"),
    [
        ("8.9", "builds and runs engines here"),
        ("9.0", "builds engines here; this GPU (compute capability 9.0) runs none of them"),
    ],
)
def test_rtx_runs_on_the_gpus_that_it_lists(monkeypatch: pytest.MonkeyPatch, capability: str, detail: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(doctor, "CudaDriver", type("CudaDriver", (_FakeDriver,), {"capability": capability}))
    found = {f.component: f for f in diagnose()}
    assert found["gpu"] == Component("gpu", "ok", "CUDA 12.8", f"NVIDIA X, compute capability {capability}")
    assert found["target tensorrt-rtx"].detail == detail


def test_a_provider_that_is_listed_and_does_not_start_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MissingBackendError("CUDAExecutionProvider did not start")

    monkeypatch.setattr(doctor, "CudaDriver", _FakeDriver)
    monkeypatch.setattr(doctor, "OrtSession", refuse)
    finding = {f.component: f for f in diagnose()}["target ort-cuda"]
    assert (finding.status, finding.detail) == ("broken", "onnxruntime: CUDAExecutionProvider did not start")


def test_an_old_python_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "OLDEST", (3, 99))
    assert diagnose()[0].status == "broken"
