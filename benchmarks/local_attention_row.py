"""Everything that is measured of one layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from attnexport.benchmarks.local_attention_compile import SUSPECTS, try_in_child
from attnexport.benchmarks.local_attention_contenders import (
    Contender,
    Model,
    attnexport_model,
    check,
    compiled_contender,
    eager_contender,
    ort_contender,
    plain_model,
    reference,
)
from attnexport.benchmarks.local_attention_measure import THREADS, Ratio, Times, interleaved, ratio
from attnexport.benchmarks.local_attention_memory import peak_bytes
from attnexport.benchmarks.local_attention_profile import SGEMM_FLOPS, sgemm, time_by_operator
from attnexport.benchmarks.local_attention_suite import Layer, useful_flops
from attnexport.errors import first_line

if TYPE_CHECKING:
    from attnexport.benchmarks.local_attention_engines import Built

OURS, PLAIN, EAGER, COMPILE = "attnexport", "plain", "eager", "compile"
SGEMM = "sgemm"


@dataclass(frozen=True)
class Settings:
    """How much is measured: rounds and seconds a layer, and the parts that may be left out."""

    rounds: int = 15
    budget: float = 8.0
    compile: bool = True
    memory: bool = True
    profile: bool = True
    engines: bool = False


@dataclass
class Row:
    """One layer's figures. Times are medians; ``ratios`` are other / attnexport; errors are parts of FP64's largest value."""

    layer: str
    family: str
    kernel: int
    shape: list[int]
    rounds: int
    milliseconds: dict[str, float]
    ratios: dict[str, Ratio]
    errors: dict[str, float]
    mflop: float
    sgemm_gflops: float
    nodes: dict[str, int]
    build_seconds: dict[str, float]
    rewrites: dict[str, int]
    operators: dict[str, float] = field(default_factory=dict)
    """attnexport's model by ONNX Runtime's profiler: the share of each operator, the five largest."""
    peak_mib: dict[str, float] = field(default_factory=dict)
    engines: dict[str, Built] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def limit_ms(self) -> float:
        """The useful arithmetic at this machine's sgemm rate."""
        return self.mflop / self.sgemm_gflops

    @property
    def of_limit(self) -> float:
        """The arithmetic's share of attnexport's time."""
        return self.limit_ms / self.milliseconds[OURS]

    @property
    def memory_ratio(self) -> float | None:
        """attnexport's peak over the plain export's, where both were measured."""
        return self.peak_mib[OURS] / self.peak_mib[PLAIN] if self.peak_mib.get(PLAIN) else None

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, rounded to what the figures can bear."""
        content = asdict(self)
        content |= {"limit_ms": self.limit_ms, "of_limit": self.of_limit, "memory_ratio": self.memory_ratio}
        rounded: dict[str, Any] = _rounded(content)
        return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def measure(layer: Layer, settings: Settings, say: Callable[[str], None]) -> Row:
    """Build every contender, hold each to FP64, then time them. Raises WrongContender before anything is timed."""
    torch.set_num_threads(THREADS)
    module, x = layer.build()
    say("exporting")
    models = {PLAIN: plain_model(module, x), OURS: attnexport_model(module, x)}
    contenders, notes = _contenders(layer, models, module, x, settings, say)
    truth = reference(module, x)
    errors = {contender.name: check(contender, truth) for contender in contenders}
    say("timing")
    calls: dict[str, Callable[[], object]] = {contender.name: contender.call for contender in contenders}
    times = interleaved({**calls, SGEMM: sgemm()}, settings.rounds, settings.budget)
    row = _row(layer, models, times, errors, notes)
    contenders.clear()
    if settings.profile:
        say("profiling")
        row.operators = dict(list(time_by_operator(models[OURS].proto, x).items())[:5])
    if settings.memory and layer.kernel == 7:
        say("peak memory")
        for name, model in models.items():
            peak = peak_bytes(model.proto, x.numpy())
            if peak is not None:
                row.peak_mib[name] = peak / 2**20
    if settings.engines:
        from attnexport.benchmarks.local_attention_engines import engines

        say("engines")
        row.engines = engines(module, x)
    return row


def _contenders(
    layer: Layer,
    models: dict[str, Model],
    module: nn.Module,
    x: Tensor,
    settings: Settings,
    say: Callable[[str], None],
) -> tuple[list[Contender], list[str]]:
    found = [ort_contender(name, model, x) for name, model in models.items()] + [eager_contender(EAGER, module, x)]
    notes = []
    if settings.compile:
        say("torch.compile")
        try:
            if layer.family in SUSPECTS:
                try_in_child(layer.name)
            found.append(compiled_contender(COMPILE, module, x))
        except Exception as error:  # whatever inductor or the C++ compiler says: the others are still worth measuring
            notes.append(f"torch.compile failed: {first_line(error)}")
    return found, notes


def _row(
    layer: Layer, models: dict[str, Model], times: dict[str, Times], errors: dict[str, float], notes: list[str]
) -> Row:
    others = [name for name in times if name not in (OURS, SGEMM)]
    return Row(
        layer=layer.name,
        family=layer.family,
        kernel=layer.kernel,
        shape=list(layer.shape),
        rounds=len(times[OURS]),
        milliseconds={name: float(np.median(times[name])) * 1e3 for name in times if name != SGEMM},
        ratios={name: ratio(times[name], times[OURS]) for name in others},
        errors=errors,
        mflop=useful_flops(layer) / 1e6,
        sgemm_gflops=SGEMM_FLOPS / float(np.median(times[SGEMM])) / 1e9,
        nodes={name: model.nodes for name, model in models.items()},
        build_seconds={name: model.seconds for name, model in models.items()},
        rewrites=models[OURS].rewrites,
        notes=[*notes, *(f"not recognised: {reason}" for reason in models[OURS].left)],
    )
