"""What is installed, which targets work here, and how to install the others.

Versions come from the packages' metadata, so nothing heavy is imported. Only the libraries of a
target are loaded, since an installed library that does not load is the error to find.
"""

import importlib
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

import numpy as np

from ..errors import AttnexportError
from . import confine
from .bundle.codec import encode_fields
from .cuda import CudaDriver
from .sessions.ort import OrtSession

Status = Literal["ok", "missing", "broken"]
OLDEST, NEWEST = (3, 10), (3, 13)
# The ONNX model y = Neg(x), both float32 of shape (1,), opset 13, to test a provider.
_NEGATE = (
    b'\x08\x08\x12\x00:2\n\x0b\n\x01x\x12\x01y"\x03Neg\x12\x01pZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)


@dataclass(frozen=True)
class Component:
    """One component or target. ``detail`` describes what it can do here, ``remedy`` how to install what is missing."""

    component: str
    status: Status
    version: str
    detail: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return encode_fields(self)


def diagnose() -> list[Component]:
    """The components, then the targets, whose names begin with ``target ``. A broken library is reported, not raised."""
    ort = _library("onnxruntime", ("onnxruntime-gpu", "onnxruntime"), "pip install attnexport")
    enterprise = _library("tensorrt", ("tensorrt",), _pip("trt"))
    rtx = _library("tensorrt_rtx", ("tensorrt-rtx-cu12", "tensorrt-rtx-cu13", "tensorrt_rtx"), _pip("rtx"))
    names = ("torch", "onnx", "onnxscript", "onnx-graphsurgeon")
    exporters = [_installed(name, (name,), _pip("export")) for name in names]
    gpu, capability = _gpu()
    return [
        _python(),
        _installed("numpy", ("numpy",), "pip install numpy"),
        _with_providers(ort),
        *exporters,
        enterprise,
        rtx,
        gpu,
        _confinement(),
        _target("export", exporters, "models can be exported here"),
        _target("ort-cpu", [ort, *_probe(ort, "CPU")], "runs a model here", ort.version),
        _target(
            "ort-cuda",
            [ort, gpu, *(_probe(ort, "CUDA") if gpu.status == "ok" else ())],
            "runs a model here",
            ort.version,
        ),
        _target("tensorrt", [enterprise, gpu], "builds and runs engines here", enterprise.version),
        _target_rtx(rtx, gpu, capability),
    ]


def _pip(extra: str) -> str:
    return f"pip install 'attnexport[{extra}]'"


def _python() -> Component:
    where = f"{platform.python_implementation()} on {platform.system()} {platform.machine()}"
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return Component("python", "ok", platform.python_version(), where)
    supported = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    detail = f"{where}; supported: {supported}"
    return Component("python", "broken", platform.python_version(), detail, f"use {supported}")


def _version(distributions: tuple[str, ...]) -> tuple[str, str] | None:
    """Name and version of the first distribution that is installed."""
    for name in distributions:
        try:
            return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _installed(component: str, distributions: tuple[str, ...], remedy: str) -> Component:
    package = _version(distributions)
    if package is None:
        return Component(component, "missing", "", "not installed", remedy)
    return Component(component, "ok", package[1], f"package {package[0]}" if package[0] != component else "installed")


def _library(module: str, distributions: tuple[str, ...], remedy: str) -> Component:
    """As :func:`_installed`, and the library is loaded too."""
    installed = _installed(module, distributions, remedy)
    try:
        loaded = importlib.import_module(module)
    except Exception as error:  # a broken native library can raise anything
        if installed.status == "missing" and isinstance(error, ModuleNotFoundError):
            return installed
        reason = AttnexportError(str(error) or type(error).__name__).problem
        again = remedy.replace("pip install", "pip install --force-reinstall")
        return Component(module, "broken", installed.version, f"does not load: {reason[:200]}", again)
    version = installed.version or str(getattr(loaded, "__version__", ""))
    return Component(module, "ok", version, installed.detail if installed.status == "ok" else "installed")


def _with_providers(ort: Component) -> Component:
    if ort.status != "ok":
        return ort
    names = ", ".join(
        p.removesuffix("ExecutionProvider") for p in importlib.import_module("onnxruntime").get_available_providers()
    )
    return Component(ort.component, "ok", ort.version, f"{ort.detail}; providers {names}")


def _gpu() -> tuple[Component, str]:
    """The GPU, and its compute capability (empty without a GPU)."""
    try:
        driver = CudaDriver()
        capability = driver.compute_capability()
        detail = f"{driver.name()}, compute capability {capability}"
        return Component("gpu", "ok", f"CUDA {driver.version()}", detail), capability
    except AttnexportError as error:
        return Component("gpu", "missing", "", error.problem, error.remedy), ""


def _confinement() -> Component:
    """What holds back a command that reads a hostile model."""
    if detail := confine.describe():
        return Component("confinement", "ok", "", detail)
    detail = "the kernel has no Landlock: commands read models with all rights of the user"
    return Component("confinement", "missing", "", detail, "Linux 5.13 or newer, or a container")


def _target(name: str, lacks: list[Component], detail: str, version: str = "") -> Component:
    """A target that needs ``lacks``: broken if one of them is broken, missing if one is missing."""
    bad = [f for f in lacks if f.status != "ok"]
    if not bad:
        return Component(f"target {name}", "ok", version, detail)
    problems = [f"{f.component} is missing" if f.status == "missing" else f"{f.component}: {f.detail}" for f in bad]
    status: Status = "broken" if any(f.status == "broken" for f in bad) else "missing"
    return Component(f"target {name}", status, version, "; ".join(problems), bad[0].remedy)


def _probe(ort: Component, provider: str) -> list[Component]:
    """The errors of running a model with a provider, which may be listed and still lack its libraries."""
    if ort.status != "ok":
        return []
    importlib.import_module("onnxruntime").set_default_logger_severity(4)  # otherwise it writes to stderr
    try:
        with OrtSession(_NEGATE, providers=[f"{provider}ExecutionProvider"]) as session:
            session.run({"x": np.ones(1, np.float32)})
    except AttnexportError as error:
        remedy = "pip install onnxruntime-gpu[cuda,cudnn]"
        return [Component("onnxruntime", "broken", ort.version, error.problem, remedy)]
    return []


def _target_rtx(library: Component, gpu: Component, capability: str) -> Component:
    if library.status != "ok":
        return _target("tensorrt-rtx", [library], "", library.version)
    if gpu.status != "ok":
        detail = "builds engines here; running them needs an RTX GPU, and there is no GPU"
        return Component("target tensorrt-rtx", "ok", library.version, detail, gpu.remedy)
    known = importlib.import_module("tensorrt_rtx").ComputeCapability.__members__
    if f"SM{capability.replace('.', '')}" in known:
        return Component("target tensorrt-rtx", "ok", library.version, "builds and runs engines here")
    detail = f"builds engines here; this GPU (compute capability {capability}) runs none of them"
    return Component("target tensorrt-rtx", "ok", library.version, detail, f"enterprise TensorRT: {_pip('trt')}")
