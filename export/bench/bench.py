"""Run one benchmark and return its report."""

from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ...errors import InputError, StageError
from ...runtime.bundle.bench_report import MEASURED, BenchReport, BenchSettings, GpuState
from ...runtime.bundle.bundle import StoredBundle
from ...runtime.bundle.manifest import Manifest
from ..progress import Reporter, Silent
from .machine import GpuWatch, load_average, machine, tools
from .measured_model import measured_model
from .options import BenchOptions
from .participants import Participant, check_names, participants
from .points import batch_symbol, choose_points
from .race import Race
from .site import Site, choose_device, usable_cores

if TYPE_CHECKING:
    import torch


def bench(
    options: BenchOptions, reporter: Reporter | None = None, *, module: "torch.nn.Module | None" = None
) -> BenchReport:
    """Measure the model that the options name. ``module``: the original of a bundle, if the caller has it.

    A contender that fails, or whose outputs are wrong, is reported, and the others go on. Raises InputError for invalid
    options and for a contender that was named and cannot run here, StageError if no contender could be measured, and the
    errors of an export.
    """
    reporter = reporter or Silent()
    check_names(options)
    device, load = choose_device(options.device), load_average()
    with (
        measured_model(options, reporter, module) as model,
        closing(Site(model, device, options.threads or usable_cores(), module)) as site,
    ):
        sizes = choose_points(model.inputs, options.batches, options.sizes)
        if options.target_latency is not None and batch_symbol(model.inputs) is None:
            raise InputError(
                "--target-latency needs a dynamic batch, but the batch is fixed", "export with a dynamic batch"
            )
        contenders = participants(options, site)
        with closing(Race(options, site, contenders, sizes, reporter)) as race:
            race.prepare()
            with GpuWatch() if device == "cuda" else nullcontext() as watch:
                points = race.points()
                target = race.target(options.target_latency) if options.target_latency is not None else None
            if not any(point.timings for point in points):
                reasons = "; ".join(f"{p.contender.name}: {p.reason}" for p in contenders if p.reason)
                raise StageError("bench", f"no contender could be measured: {reasons}")
            gpu = watch.state if watch is not None else None
            manifest = StoredBundle.open(model.bundle).manifest
            return BenchReport(
                name=model.name,
                created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                source=manifest.source.file or manifest.source.arch or "",
                model_sha256=next(file.sha256 for file in manifest.files.values() if file.role == "model-fp32"),
                inputs=model.inputs,
                machine=machine(load, gpu),
                tools=tools(),
                settings=BenchSettings(
                    device=device, clock="cuda-events" if device == "cuda" else "wall", threads=site.threads,
                    rounds=options.rounds, seconds=options.seconds, seed=options.seed, tf32=False, baseline=race.baseline,
                ),
                entrants=tuple(participant.record(site) for participant in contenders),
                points=points,
                target=target,
                notes=(*_maps(manifest), *_notes(options, contenders, load, gpu, on_gpu=device == "cuda")),
            )  # fmt: skip


def _maps(manifest: Manifest) -> Iterator[str]:
    if count := len(manifest.attention):
        maps = "an attention map" if count == 1 else f"{count} attention maps"
        yield f"attnexport's models also output {maps}, which PyTorch's contenders do not compute"


def _notes(
    options: BenchOptions, contenders: Sequence[Participant], load: float | None, gpu: GpuState | None, *, on_gpu: bool
) -> Iterator[str]:
    """Yield notes about circumstances that change the meaning of the figures."""
    cores = usable_cores()
    if load is not None and load > cores / 2:
        yield f"the machine was busy before the benchmark (load {load:.1f} on {cores} cores): trust ratios more than times"
    if on_gpu and gpu is None:
        yield "nvidia-smi not found: the GPU's clocks and power are unknown"
    for participant in contenders:
        yield from (f"{participant.contender.title}: {note}" for note in participant.notes)
        if participant.contender.name == options.baseline and participant.state != MEASURED:
            yield f"there are no ratios: the baseline {options.baseline} is {participant.state}: {participant.reason}"
