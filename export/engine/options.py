"""The options of an engine build."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class EngineOptions:
    """Build options. ``None`` is TensorRT's default.

    - ``workspace_bytes`` limits the scratch memory of a kernel.
    - ``timing_cache`` is a file with kernel timings (enterprise only).
    - ``compute_capabilities`` are the GPUs to build for, as ``8.6`` or ``current`` (RTX only; none: all it supports).
    - ``optimization_level`` is 0 to 5.
    - ``tf32`` allows FP32 matrix products to round their inputs to 10 bits.
    - ``time_limit_s`` cancels the build at TensorRT's next step after this time.
    """

    workspace_bytes: int | None = None
    timing_cache: Path | None = None
    compute_capabilities: tuple[str, ...] = ()
    optimization_level: int | None = None
    tf32: bool = False
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        if self.workspace_bytes is not None and self.workspace_bytes < 1:
            raise InputError(f"a workspace of {self.workspace_bytes} bytes is too small", "pass at least some MiB")
        if self.optimization_level is not None and not 0 <= self.optimization_level <= 5:
            raise InputError(f"optimization level {self.optimization_level} is not known", "pass 0 to 5")
        if self.time_limit_s is not None and not self.time_limit_s > 0:
            raise InputError(f"a time limit of {self.time_limit_s} s is not positive", "pass seconds")


def parse_bytes(text: str, option: str) -> int:
    """``512M`` or ``4G`` (powers of two) as bytes. Raises InputError with the option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise InputError(f"{option} {text!r} is not an amount of memory", "write it as 512M or 4G")
    return int(float(match[1]) * _UNITS[match[2].upper()])
