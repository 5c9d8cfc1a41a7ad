"""From a loaded model to the files of a bundle, as a readable list of stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from ..errors import InputError
from ..runtime.device import cuda_device
from ..runtime.feeds import random_feeds
from ..runtime.figures import ParityRecord
from ..runtime.golden import write_golden
from ..runtime.manifest import Manifest
from ..runtime.samples import Samples
from ..runtime.sections import EngineRecord
from ..runtime.sessions import Session
from ..runtime.sessions.emulated import EmulatedSession
from ..runtime.sessions.ort import OrtSession
from ..runtime.sessions.tensorrt import TensorRTSession
from ..runtime.spec import POINTS, Axis, TensorSpec
from ..runtime.writer import BundleFolder
from . import record
from .cases import build_cases, draws
from .engine.build import build_engine
from .engine.flavour import Flavour
from .entry import Entered, enter
from .options import ExportOptions
from .origin import Origins
from .precision import PrecisionResult, convert
from .recognise import Recognised
from .report import Reporter, Stages
from .rewrite import Plan, find_windows, lower_for
from .source import Source
from .truth import Original
from .verify import Form, verify

FP32 = "model.onnx"
FP16 = "model.fp16.onnx"
GOLDEN = "golden.npz"


@dataclass
class _Forms:
    """Sessions over what has been written, closed when the verification is over."""

    stack: ExitStack
    forms: list[Form]

    def add(self, stage: str, file: str, precision: str, session: Session) -> None:
        self.stack.callback(session.close)
        self.forms.append(Form(stage, file, "float16" if precision == "fp16" else "float32", session))


@dataclass(frozen=True)
class Written:
    """What :func:`export_source` has put into a folder: the manifest to come with it, and every gate that failed."""

    manifest: Manifest
    failures: tuple[str, ...]


@dataclass
class Job:
    """One export under way: what was asked for, the stages so far, and what the user should know of them."""

    options: ExportOptions
    reporter: Reporter
    stages: Stages
    flavour: Flavour | None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, options: ExportOptions, reporter: Reporter, flavour: Flavour | None) -> Job:
        """A job with nothing done."""
        return cls(options, reporter, Stages(reporter), flavour)

    def note(self, text: str) -> None:
        """Keep a fact for the manifest, and tell it."""
        self.notes.append(text)
        self.reporter.note(text)


def export_source(job: Job, source: Source, samples: Samples | None, folder: BundleFolder) -> Written:
    """Every stage from capture to verify for one loaded model, its files written into ``folder``.

    Failed gates are in the result, not raised. Raises InputError and StageError as :func:`run` does.
    """
    options, reporter, stages, note, flavour = job.options, job.reporter, job.stages, job.note, job.flavour
    plan = Plan.of(options.target, flavour, options.precision)
    with ExitStack() as stack:
        with stages.run("capture") as stage:
            entered = enter(source, options.outputs, options.seed, reporter, attention=options.attention)
            captured, inputs = entered.captured, entered.inputs
            for text in captured.notes:
                note(text)
            how = "raised" if source.kind == "onnx" else "kept whole"
            stage.detail = f"{len(captured.model.graph.node)} nodes{_kept(captured.kept, how)}"
        with stages.run("recognise") as stage:
            recognised = find_windows(captured.model)
            stage.detail = _found(recognised)
        with stages.run("lower") as stage:
            lowered, halved = lower_for(recognised, plan, inputs, options.tune, reporter)
            rewritten = record.rewrites(lowered.applied, recognised, FP32, captured.origins)
            if halved is not None and halved is not lowered:
                rewritten += record.rewrites(halved.applied, recognised, FP16, captured.origins)
            onnx.save(lowered.model, folder.path / FP32)
            folder.add(FP32, "model-fp32")
            stage.detail = f"{len(lowered.model.graph.node)} standard nodes, {len(lowered.applied)} rewrites"
        counts = {FP32: record.operators(lowered.model)}
        half: PrecisionResult | None = None
        if halved is not None:
            with stages.run("fp16") as stage:
                half = convert(halved.model)
                for text in half.warnings:
                    note(text)
                onnx.save(half.model, folder.path / FP16)
                folder.add(FP16, "model-fp16")
                counts[FP16] = record.operators(half.model)
                stage.detail = f"{half.counts.half_nodes} nodes in FP16, {half.counts.fp32_nodes} kept in FP32, {half.counts.casts} casts"
        engines: list[EngineRecord] = []
        if flavour is not None:
            with stages.run("engine") as stage:
                note(f"{flavour.title}: {flavour.reason}")
                built = _engine(options, flavour, folder, inputs, captured.origins, reporter)
                engines.append(built)
                stage.detail = f"{built.file}, {len(built.layers)} layers"
        gpu = cuda_device()
        with stages.run("verify") as stage:
            outputs = output_specs(entered, lowered.model, options.seed)
            forms = _Forms(stack, [])
            _open_forms(forms, folder.path, half is not None, engines, gpu, note)
            cases = build_cases(inputs, _fitting(samples, inputs), options.seed, draws(outputs))
            verification = verify(entered.original, forms.forms, cases, outputs, source.task, options.gate, reporter)
            for text in entered.original.notes:
                note(text)
            stage.detail = f"{len(cases)} cases, worst ratio {_worst(verification.records)}"
    failures = tuple(verification.failures)
    write_golden(folder.path / GOLDEN, verification.golden)
    folder.add(GOLDEN, "golden")
    content = record.manifest(
        source, inputs, outputs, source.task, gpu, stages.records, rewritten, counts,
        record.precision(half, captured.origins), engines, verification, entered.attention, (*job.notes, *failures),
    )  # fmt: skip
    return Written(content, failures)


def _kept(kept: dict[str, int], how: str) -> str:
    return f", {how}: " + ", ".join(f"{n} {op}" for op, n in kept.items()) if kept else ""


def _found(recognised: Recognised) -> str:
    counts = Counter(entry.description for entry in recognised.found)
    found = ", ".join(f"{count} {what}" for what, count in counts.items()) or "no local attention"
    return found + (f"; {len(recognised.refused)} left as they are" if recognised.refused else "")


def _engine(
    options: ExportOptions,
    flavour: Flavour,
    folder: BundleFolder,
    inputs: Sequence[TensorSpec],
    origins: Origins,
    reporter: Reporter,
) -> EngineRecord:
    model = folder.path / (FP16 if options.precision == "fp16" else FP32)
    engine = build_engine(model, inputs, flavour, options.engine, origins, reporter)
    version = ".".join(map(str, flavour.version[:3]))
    file = f"engines/{options.precision}.{flavour.name}-{version}.engine"
    path = folder.path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(engine.plan)
    folder.add(file, "engine")
    return record.engine_record(engine, file, options.precision)


def _open_forms(
    forms: _Forms,
    folder: Path,
    with_half: bool,
    engines: Sequence[EngineRecord],
    gpu: tuple[str, str] | None,
    note: Any,
) -> None:
    forms.add("onnx-fp32", FP32, "fp32", OrtSession(folder / FP32, spin=False))
    if with_half:
        forms.add("onnx-fp16", FP16, "fp16", OrtSession(folder / FP16, spin=False))
        forms.add("emulated-fp16", FP16, "fp16", EmulatedSession(folder / FP16))
    for engine in engines:
        if gpu is None:
            note(f"{engine.file} was not run: no GPU is here; attnexport check runs it where one is")
            continue
        session = TensorRTSession(folder / engine.file, engine.flavour)
        forms.add(f"engine-{engine.precision}", engine.file, engine.precision, session)


def _fitting(samples: Samples | None, inputs: Sequence[TensorSpec]) -> Samples | None:
    if samples is not None and not inputs[0].axes:
        raise InputError(
            f"input {inputs[0].name!r} is a scalar, so samples have no axis to lie along", "leave out --samples"
        )
    return samples


def _worst(records: Sequence[ParityRecord]) -> str:
    return f"{max((r.gate.ratio for r in records), default=0.0):.2f}"


def output_specs(entered: Entered, model: onnx.ModelProto, seed: int) -> tuple[TensorSpec, ...]:
    """Names, dtypes and shapes of the outputs: measured on the original at each point, symbols from the graph."""
    measured = [_shapes(entered.original, entered.inputs, point, seed) for point in POINTS]
    symbols = {a.symbol for s in entered.inputs for a in s.axes if a.symbol is not None}
    specs = []
    for value, name in zip(model.graph.output, entered.output_names, strict=True):
        axes = []
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            low, opt, high = (point[name][0][i] for point in measured)
            if dim.HasField("dim_value") or (low == high and dim.dim_param not in symbols):
                axes.append(Axis.fixed(opt))
            else:
                axes.append(Axis(min(low, opt, high), opt, max(low, opt, high), dim.dim_param or f"{name}_{i}"))
        specs.append(TensorSpec(name, measured[1][name][1], tuple(axes)))
    return tuple(specs)


def _shapes(
    original: Original, inputs: Sequence[TensorSpec], point: Any, seed: int
) -> dict[str, tuple[tuple[int, ...], str]]:
    results = original.run(random_feeds(inputs, point, seed=seed), "float32")
    return {name: (array.shape, str(array.dtype)) for name, array in results.items()}
