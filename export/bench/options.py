"""The options of one benchmark, validated before any work starts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ...errors import InputError

if TYPE_CHECKING:
    from ..options import ExportOptions

Device = Literal["auto", "cpu", "cuda"]
Statistic = Literal["p95", "median"]

_MILLISECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)?")
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, None: 1.0}
MOST_DOUBLINGS = 24


@dataclass(frozen=True)
class BenchOptions:
    """One benchmark of ``bundle``, or of a temporary export of ``model``.

    With a bundle, ``model`` is its original, which PyTorch's contenders need. ``contenders``: names; empty for all that
    can run here. ``batches``: batch sizes; empty for the profile's min and opt. ``sizes``: sizes of other free axes by
    symbol; their opt by default. ``target_latency``: milliseconds. ``memory``: measure each contender's peak memory in a
    separate process. ``png``: the file of a chart, which needs matplotlib.
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
        contenders: Sequence[str] = (),
        batches: Sequence[str] = (),
        sizes: Sequence[str] = (),
        target_latency: str | None = None,
        statistic: str = "p95",
        device: str = "auto",
        **rest: Any,
    ) -> BenchOptions:
        """Parse the strings of the command line. Raises InputError with the option and its value."""
        return cls(
            contenders=tuple(dict.fromkeys(name for text in contenders for name in _words(text))),
            batches=tuple(sorted({size for text in batches for size in parse_batches(text)})),
            sizes=dict(map(_size, sizes)),
            target_latency=None if target_latency is None else parse_milliseconds(target_latency),
            statistic=statistic,  # type: ignore[arg-type]  # checked below
            device=device,  # type: ignore[arg-type]
            **rest,
        )

    def __post_init__(self) -> None:
        if self.bundle is None and self.model is None:
            raise InputError("nothing to measure", "pass a bundle, NAME.attn, or a model")
        for option, word, known in (
            ("--device", self.device, get_args(Device)), ("--latency-of", self.statistic, get_args(Statistic)),
        ):  # fmt: skip
            if word not in known:
                raise InputError(f"{option} {word} is not known", f"use {' or '.join(known)}")
        for option, value in (("--rounds", self.rounds), ("--threads", self.threads)):
            if value is not None and value < 1:
                raise InputError(f"{option} {value} is below 1", "pass a whole number from 1")
        if not self.seconds > 0:
            raise InputError(f"--seconds {self.seconds:g} is not above 0", "pass the time limit of a point in seconds")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed} is below 0", "pass a whole number from 0")
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
