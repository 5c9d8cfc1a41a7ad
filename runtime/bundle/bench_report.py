"""What a benchmark says, as frozen dataclasses and as JSON (schema 1, described in docs/bench.md): the file that ``--json`` writes.

Times are milliseconds, memory is bytes. An interval is the 95 % bootstrap interval around a median.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BundleError, InputError
from ..spec import TensorSpec
from .codec import decode, encode_fields

FORMAT = "attnexport-bench"
SCHEMA = 1

MEASURED, ABSENT, FAILED, WRONG = "measured", "absent", "failed", "wrong"
"""What became of a contender: timed; not here; stopped with an error; its outputs are not those of the model."""


@dataclass(frozen=True)
class Interval:
    """A figure between the two ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MemoryUse:
    """Of a process of its own that runs one contender: ``peak`` in all, and ``added`` by the runs over the loaded model.

    ``device`` is what of the GPU's memory was taken. None where the system does not tell.
    """

    peak: int | None
    added: int | None
    device: int | None


@dataclass(frozen=True)
class Timing:
    """One contender at one point. ``ratio``: how many times faster than the baseline it is, None without a baseline."""

    contender: str
    rounds: int
    calls: int
    median: Interval
    p95: float
    fastest: float
    per_second: float
    ratio: Interval | None
    memory: MemoryUse | None


@dataclass(frozen=True)
class BenchPoint:
    """One set of sizes. ``batch`` is the size of the first input's first axis where that is free, else 1 item is counted."""

    sizes: dict[str, int]
    batch: int
    timings: tuple[Timing, ...]


@dataclass(frozen=True)
class Capacity:
    """The largest batch that a contender runs within the target; ``batch`` is None where even the smallest misses it.

    ``median`` and ``p95`` are those of that batch, or of the smallest one that misses. ``most``: the target was not
    reached before the largest batch of the model's range.
    """

    contender: str
    batch: int | None
    median: float
    p95: float
    per_second: float
    calls: int
    most: bool


@dataclass(frozen=True)
class LatencyTarget:
    """``--target-latency``: milliseconds, and which statistic (``p95`` or ``median``) has to stay within them."""

    milliseconds: float
    statistic: str
    capacities: tuple[Capacity, ...]


@dataclass(frozen=True)
class Entrant:
    """A contender, and what became of it: ``state`` is measured, absent, failed or wrong, with the reason.

    ``error``: rms difference from the verified FP32 model over that model's rms, the largest output and point.
    ``opened``: seconds to load or compile it for the first point. ``device``: cpu or cuda.
    """

    name: str
    title: str
    precision: str
    device: str
    state: str
    reason: str
    error: float | None
    opened: float | None


@dataclass(frozen=True)
class GpuState:
    """The GPU while it was timed, as nvidia-smi reported it: MHz, watts and degrees Celsius, median between lowest and highest.

    ``limits``: the reasons it gave for holding its clocks back, most frequent first.
    """

    name: str
    compute_capability: str
    driver: str
    clock: Interval | None
    clock_limit: float | None
    memory_clock: Interval | None
    power: Interval | None
    power_limit: float | None
    temperature: Interval | None
    limits: tuple[str, ...]


@dataclass(frozen=True)
class MachineRecord:
    """Where it was measured; ``load`` is the machine's load average at the beginning, None where it has none."""

    cpu: str
    cores: int
    platform: str
    load: float | None
    gpu: GpuState | None


@dataclass(frozen=True)
class BenchSettings:
    """How it was measured. ``clock``: ``wall`` or ``cuda-events``; ``tf32``: whether FP32 products were allowed to use it."""

    device: str
    clock: str
    threads: int
    rounds: int
    seconds: float
    seed: int
    tf32: bool
    baseline: str | None


@dataclass(frozen=True)
class BenchReport:
    """One benchmark of one model. ``model_sha256`` is that of the bundle's FP32 model, ``source`` the file it came from."""

    name: str
    created: str
    source: str
    model_sha256: str
    inputs: tuple[TensorSpec, ...]
    machine: MachineRecord
    tools: dict[str, str]
    settings: BenchSettings
    entrants: tuple[Entrant, ...]
    points: tuple[BenchPoint, ...]
    target: LatencyTarget | None
    notes: tuple[str, ...]

    def entrant(self, name: str) -> Entrant:
        """The contender of that name. Raises KeyError where it did not take part."""
        for entrant in self.entrants:
            if entrant.name == name:
                return entrant
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary with the format's name and the schema version first."""
        return {"format": FORMAT, "schema": SCHEMA, **encode_fields(self)}

    @classmethod
    def from_json(cls, value: Any) -> BenchReport:
        """The inverse of :meth:`to_json`. Raises InputError for another format or version, and for the first wrong field."""
        name = value.get("format") if isinstance(value, dict) else None
        if name != FORMAT:
            raise InputError(
                f"the file has format {name!r} and not {FORMAT!r}", "give what attnexport bench --json wrote"
            )
        if value.get("schema") != SCHEMA:
            raise InputError(
                f"the file has schema {value.get('schema')!r} and this attnexport reads {SCHEMA}", "measure again"
            )
        try:
            return decode(cls, {k: v for k, v in value.items() if k not in ("format", "schema")}, "")
        except BundleError as error:
            raise InputError(error.problem, "measure again with attnexport bench --json") from error

    def write(self, path: Path) -> None:
        """Write the JSON. Raises OSError where the place cannot be written."""
        path.write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> BenchReport:
        """Read what :meth:`write` wrote. Raises InputError for a file that is missing, no JSON, or as :meth:`from_json`."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read as a benchmark ({error})", "measure with attnexport bench --json"
            ) from error
        return cls.from_json(value)
