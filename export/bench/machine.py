"""What the figures were measured on: processor, versions, load."""

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
    """This machine; ``load`` is what it had to do before."""
    return MachineRecord(processor(), usable_cores(), platform.platform(), load, gpu)


def load_average() -> float | None:
    """Of the last minute; None on a system that has none."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def processor() -> str:
    """The processor's name, as good as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def tools() -> dict[str, str]:
    """Version by name of what is installed and may have had a part in it."""
    found = {"attnexport": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
