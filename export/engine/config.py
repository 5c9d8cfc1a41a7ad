"""The configuration of an engine build: its options, the GPUs of an RTX engine (``8.6`` is ``ComputeCapability.SM86``), and
the timing cache, a file with kernel timings of earlier builds (enterprise only: RTX measures no kernels in a build).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import EngineError, InputError
from ...runtime.files.write import write_file
from ..progress import Reporter
from .flavour import Flavour

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


CACHE_SUFFIX = ".timing-cache"
CURRENT = "current"


def known_capabilities(trt: Any) -> dict[str, Any]:
    """The capabilities that this RTX supports, by the user's names: ``{"7.5": SM75, ..., "12.1": SM121, "current": CURRENT}``."""
    members = trt.ComputeCapability.__members__
    sized = sorted((int(name[2:]), member) for name, member in members.items() if name.startswith("SM"))
    known = {f"{number // 10}.{number % 10}": member for number, member in sized}
    return {**known, CURRENT: members["CURRENT"]}


def set_capabilities(config: Any, flavour: Flavour, names: Sequence[str]) -> tuple[str, ...]:
    """Set the capabilities on ``config``. Without any, the engine runs on every GPU that RTX supports.

    Returns them without duplicates. Raises InputError as :func:`check_capabilities` does.
    """
    names = check_capabilities(flavour, names)
    if not names:
        return ()
    known = known_capabilities(flavour.module)
    config.num_compute_capabilities = len(names)
    for index, name in enumerate(names):
        if not config.set_compute_capability(known[name], index):
            raise EngineError(f"{flavour.title} refuses compute capability {name}")
    return names


def check_capabilities(flavour: Flavour, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names without duplicates. Raises InputError if this TensorRT does not support one, or if ``current`` has company."""
    names = tuple(dict.fromkeys(name.strip().lower() for name in names))
    if not names:
        return ()
    if not flavour.has_compute_capabilities:
        raise InputError(
            f"{flavour.title} builds for the GPU of this machine, not for compute capability {', '.join(names)}",
            "leave it out, or build with --trt=rtx",
        )
    known = known_capabilities(flavour.module)
    if unknown := [name for name in names if name not in known]:
        raise InputError(
            f"{flavour.title} does not build for compute capability {unknown[0]!r}", f"it takes {', '.join(known)}"
        )
    if CURRENT in names and len(names) > 1:
        raise InputError(
            f"compute capability 'current' does not go with others ({', '.join(names)})", "pass one or the other"
        )
    return names


FP8_SINCE = (8, 9)
"""The first compute capability with FP8 products (Ada)."""


def refuse_engine(precision: str, flavour: Flavour | None, capabilities: Sequence[str]) -> None:
    """Raise InputError if a requested compute capability is not supported or has no FP8, before a model is read."""
    if flavour is not None:
        check_capabilities(flavour, capabilities)
    if precision != "fp8" or flavour is None:
        return
    for name in capabilities:
        major, _, minor = name.strip().partition(".")
        if major.isdigit() and minor.isdigit() and (int(major), int(minor)) < FP8_SINCE:
            raise InputError(
                f"compute capability {name.strip()} has no FP8 products", "name 8.9 or later, or use --precision int8"
            )


def attach_timing_cache(config: Any, path: Path, flavour: Flavour, reporter: Reporter) -> Any | None:
    """Set the cache in ``path`` on ``config``, or a new one if there is no matching cache. Return it; None for RTX.

    Keep the result alive until the engine is built, then :func:`store_timing_cache` it. Raises InputError if the file
    cannot be read, or is not a cache and does not have a cache's name.
    """
    if not flavour.has_timing_cache:
        reporter.note(f"{flavour.title} has no timing cache (its builds measure no kernels): {path} is not used")
        return None
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise InputError(f"timing cache {path} cannot be read: {error.strerror}", "name a file") from error
    if data:
        cache = config.create_timing_cache(data)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
        if path.suffix not in (CACHE_SUFFIX, ".cache"):  # it may be any file of the user
            raise InputError(
                f"{path} is not a timing cache of this TensorRT and GPU, so it is not replaced",
                f"name another file; one that ends in {CACHE_SUFFIX} is replaced",
            )
        reporter.note(f"timing cache {path} belongs to another TensorRT or GPU: it will be replaced")
    cache = config.create_timing_cache(b"")
    config.set_timing_cache(cache, False)
    return cache


def store_timing_cache(data: bytes | memoryview, path: Path, reporter: Reporter) -> bool:
    """Write a serialised cache atomically. Return success; a failure is only a note, because the engine is built."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)
    except OSError as error:
        reporter.note(f"timing cache {path} cannot be written: {error.strerror}")
        return False
    return True
