"""The results of a benchmark: frozen dataclasses, and the JSON that ``--json`` writes.

The JSON has schema 1, described in docs/bench.md. Times are milliseconds, memory is bytes. An
interval is the 95 % bootstrap interval around a median.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BundleError, InputError
from ..files.write import write_file
from ..spec import TensorSpec
from .codec import decode, encode_fields

FORMAT = "attnexport-bench"
SCHEMA = 1

MEASURED, ABSENT, FAILED, WRONG = "measured", "absent", "failed", "wrong"
"""The state of a contender: timed; not available; failed with an error; outputs differ from the model's."""


@dataclass(frozen=True)
class Interval:
    """A figure between the two ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MemoryUse:
    """Memory of a process that runs only one contender: its ``peak``, and the memory ``added`` by runs.

    ``device`` is its GPU memory. A figure is None if the system does not report it.
    """

    peak: int | None
    added: int | None
    device: int | None


@dataclass(frozen=True)
class Timing:
    """One contender at one point. ``ratio``: the speed-up over the baseline, None without a baseline."""

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
    """One set of sizes. ``batch`` is the size of the first input's first axis if it is free, else 1."""

    sizes: dict[str, int]
    batch: int
    timings: tuple[Timing, ...]


@dataclass(frozen=True)
class Capacity:
    """The largest batch that a contender runs within the target, None if the smallest is too slow.

    ``median`` and ``p95`` are those of that batch, or of the smallest if it is too slow. ``most``:
    even the largest batch of the model's range is within the target.
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
    """``--target-latency``: milliseconds, and the statistic (``p95`` or ``median``) that must not exceed them."""

    milliseconds: float
    statistic: str
    capacities: tuple[Capacity, ...]


@dataclass(frozen=True)
class Entrant:
    """A contender and its ``state``, measured, absent, failed or wrong, with the reason.

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
    """The GPU during the timing, from nvidia-smi: MHz, watts, degrees Celsius; medians with extremes.

    ``limits``: the reported reasons for lowered clocks, most frequent first.
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
    """The machine; ``load`` is its load average at the start, None if the system has none."""

    cpu: str
    cores: int
    platform: str
    load: float | None
    gpu: GpuState | None


@dataclass(frozen=True)
class BenchSettings:
    """The settings. ``clock``: ``wall`` or ``cuda-events``; ``tf32``: whether FP32 products may use TF32."""

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
    """One benchmark of one model: ``source`` is its file, ``model_sha256`` that of the FP32 model."""

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
        """The contender of that name. Raise KeyError if it did not take part."""
        return {entrant.name: entrant for entrant in self.entrants}[name]

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary with the format's name and the schema version first."""
        return {"format": FORMAT, "schema": SCHEMA, **encode_fields(self)}

    @classmethod
    def from_json(cls, value: Any) -> "BenchReport":
        """The inverse of :meth:`to_json`. Raise InputError for another format or version, or a wrong field."""
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
        """Write the JSON. Raise OSError if the path cannot be written."""
        write_file(path, json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> "BenchReport":
        """Read the file of :meth:`write`. Raise InputError for a missing or invalid file, or as :meth:`from_json`."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read as a benchmark ({error})", "measure with attnexport bench --json"
            ) from error
        return cls.from_json(value)
