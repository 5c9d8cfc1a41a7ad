"""The machine of a benchmark: processor, versions, load; clocks, power and temperature of the GPU, from nvidia-smi."""

import os
import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.bundle.bench_report import GpuState, Interval, MachineRecord
from ...runtime.processes import run, start
from ...version import __version__
from .site import usable_cores

if TYPE_CHECKING:
    from subprocess import Popen

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


_CONSTANT = ("name", "compute_cap", "driver_version", "clocks.max.sm", "power.limit")


_CHANGING = ("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu", "clocks_throttle_reasons.active")


EVERY_MS = 200


_REASONS = {
    0x2: "clocks set by the user", 0x4: "power limit (software)", 0x8: "slowdown (hardware)",
    0x20: "temperature (software)", 0x40: "temperature (hardware)", 0x80: "power brake (hardware)",
}  # fmt: skip
"""Bits of NVML's clock event reasons that lower the clocks; the bit 0x1 of an idle GPU is not among them."""


class GpuWatch:
    """Watch the first GPU from enter to exit; ``state`` is then its state, None without nvidia-smi."""

    def __init__(self) -> None:
        self.state: GpuState | None = None
        self._process: Popen[str] | None = None

    def __enter__(self) -> "GpuWatch":
        try:
            command = [*_query(_CHANGING), f"--loop-ms={EVERY_MS}"]
            self._process = start(command)
        except OSError:
            self._process = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.terminate()
        changing, _ = self._process.communicate()
        result = run(_query(_CONSTANT))
        if result.returncode == 0:
            self.state = read_state(result.stdout, changing)


def _query(fields: Sequence[str]) -> list[str]:
    return ["nvidia-smi", "--id=0", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]


def read_state(constant: str, changing: str) -> GpuState:
    """Return the state from nvidia-smi's lines: one of constant fields, one for each sample. Unknown values are None."""
    name, capability, driver, clock_limit, power_limit = _cells(constant.splitlines()[0], len(_CONSTANT))
    rows = [_cells(line, len(_CHANGING)) for line in changing.splitlines() if line.count(",") == len(_CHANGING) - 1]
    clock, memory, power, temperature = (_interval([row[i] for row in rows]) for i in range(4))
    reasons: Counter[str] = Counter()
    for row in rows:
        bits = int(row[4], 16) if row[4].lower().startswith("0x") else 0
        reasons.update(word for bit, word in _REASONS.items() if bits & bit)
    limits = tuple(word for word, _ in reasons.most_common())
    return GpuState(
        name, capability, driver, clock, _number(clock_limit), memory, power, _number(power_limit), temperature, limits
    )


def _cells(line: str, count: int) -> list[str]:
    cells = [cell.strip() for cell in line.split(",")]
    return cells + [""] * (count - len(cells))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # [N/A], or a field unknown to this driver
        return None


def _interval(texts: Sequence[str]) -> Interval | None:
    values = [number for text in texts if (number := _number(text)) is not None]
    return Interval(float(np.median(values)), min(values), max(values)) if values else None
