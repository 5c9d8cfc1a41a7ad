"""The options of one benchmark, validated before any work starts."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..option_table import BENCH, Device, Statistic
from ..options import ExportOptions
from ..options.read import check_values

_MILLISECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)?")
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, None: 1.0}
MOST_DOUBLINGS = 24


@dataclass(frozen=True)
class BenchOptions:
    """One benchmark of ``bundle``, or of a temporary export of ``model``; :mod:`..option_table` describes each option.

    With a bundle, ``model`` is its original, which PyTorch's contenders need. ``sizes``: by symbol; the opt by default.
    ``target_latency``: milliseconds. ``png``: the file of a chart, which needs matplotlib. Raises InputError for a value
    that is not allowed.
    """

    bundle: Path | None = None
    model: ExportOptions | None = None
    contenders: Sequence[str] = ()
    baseline: str | None = None
    batches: Sequence[int] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    rounds: int = 20
    seconds: float = 20.0
    threads: int | None = None
    device: Device = "auto"
    memory: bool = True
    target_latency: float | None = None
    statistic: Statistic = "p95"
    seed: int = 0
    png: Path | None = None

    @classmethod
    def from_strings(
        cls,
        *,
        contenders: Iterable[str] | None = None,
        batches: Iterable[str] | None = None,
        sizes: Iterable[str] | None = None,
        target_latency: str | None = None,
        **others: Any,
    ) -> "BenchOptions":
        """Parse the strings of the command line. Raises InputError with the option and its value."""
        return cls(
            contenders=tuple(dict.fromkeys(name for text in contenders or () for name in _words(text))),
            batches=tuple(sorted({size for text in batches or () for size in parse_batches(text)})),
            sizes=dict(map(_size, sizes or ())),
            target_latency=None if target_latency is None else parse_milliseconds(target_latency),
            **others,
        )

    def __post_init__(self) -> None:
        if self.bundle is None and self.model is None:
            raise InputError("nothing to measure", "pass a bundle, NAME.attn, or a model")
        check_values(BENCH, {option.name: getattr(self, option.name) for option in BENCH})
        if self.target_latency is not None and not self.target_latency > 0:
            raise InputError(f"--target-latency {self.target_latency:g} ms is not above 0", "write it as 20ms")


def parse_batches(text: str) -> list[int]:
    """``8``, ``1,4,16``, or ``1:16`` for 1, 2, 4, 8, 16. Raises InputError for anything else."""
    batches: list[int] = []
    for word in _words(text):
        ends = word.split(":")
        if len(ends) > 2 or not all(re.fullmatch(r"\d{1,9}", end, re.ASCII) for end in ends):
            raise InputError(
                f"--batch {word!r} is neither a size nor a range", "write 8, or 1,4,16, or 1:16 for 1, 2, 4, 8, 16"
            )
        first, last = int(ends[0]), int(ends[-1])
        if not 1 <= first <= last:
            raise InputError(f"--batch {word} is not a range from 1 up", "write for example 1:16")
        sizes = [first << step for step in range(MOST_DOUBLINGS) if first << step <= last]
        batches += sizes if sizes[-1] == last else [*sizes, last]
    if not batches:
        raise InputError("--batch is empty", "write 8, or 1,4,16, or 1:16")
    return batches


def parse_milliseconds(text: str) -> float:
    """Convert ``20``, ``20ms``, ``500us`` or ``0.5s`` to milliseconds. Raises InputError for anything else."""
    match = _MILLISECONDS.fullmatch(text.strip())
    if match is None:
        raise InputError(f"--target-latency {text!r} is not a time", "write it as 20ms, 500us or 0.5s")
    return float(match[1]) * _UNITS[match[2]]


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text.strip()) if word]


def _size(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\w+)=(\d{1,9})", text.strip(), re.ASCII)
    if match is None or not int(match[2]):
        raise InputError(f"--size {text!r} is not SYMBOL=SIZE", "write for example --size width=64")
    return match[1], int(match[2])
