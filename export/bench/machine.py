"""The machine of a benchmark: processor, versions, load."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ...runtime.bundle.bench_report import GpuState, MachineRecord
from ...version import __version__
from .site import usable_cores

_PACKAGES = (
    "numpy", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13",
)  # fmt: skip


def machine(load: float | None, gpu: GpuState | None) -> MachineRecord:
    """Return the record of this machine; ``load`` is its load average before the benchmark."""
    return MachineRecord(processor(), usable_cores(), platform.platform(), load, gpu)


def load_average() -> float | None:
    """Return the load average of the last minute; None if the system has none."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def tools() -> dict[str, str]:
    """Return the version of each installed package that a contender may use."""
    versions = {"attnexport": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
