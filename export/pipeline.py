"""The whole way from what the user handed in to a bundle on disk, as a readable list of stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from ..errors import InputError, ParityError
from ..runtime.device import cuda_device
from ..runtime.feeds import random_feeds
from ..runtime.figures import ParityRecord
from ..runtime.golden import write_golden
from ..runtime.manifest import Manifest
from ..runtime.samples import Samples, load_samples
from ..runtime.sections import EngineRecord
from ..runtime.sessions import Session
from ..runtime.sessions.emulated import EmulatedSession
from ..runtime.sessions.ort import OrtSession
from ..runtime.sessions.tensorrt import TensorRTSession
from ..runtime.spec import POINTS, Axis, TensorSpec
from ..runtime.writer import BundleWriter
from . import record
from .cases import build_cases, draws
from .engine.build import build_engine
from .engine.flavour import Flavour, find_flavour
from .entry import Entered, enter
from .options import ExportOptions
from .origin import Origins
from .precision import PrecisionResult, convert
from .recognise import Recognised
from .report import Reporter, Silent, Stages
from .rewrite import Plan, find_windows, lower_for
from .source import load
from .truth import Original
from .verify import Form, verify

FP32 = "model.onnx"
FP16 = "model.fp16.onnx"
GOLDEN = "golden.npz"


@dataclass(frozen=True)
class ExportResult:
    """What was written. ``bundle`` is None where a gate failed and nothing was kept."""

    bundle: Path | None
    passed: bool
    failures: tuple[str, ...]
    manifest: Manifest

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for ``--json``: the verdict, the path, and the whole manifest."""
        return {
            "bundle": str(self.bundle) if self.bundle is not None else None,
            "passed": self.passed,
            "failures": list(self.failures),
            "manifest": self.manifest.to_json(),
        }


@dataclass
class _Forms:
    """Sessions over what has been written, closed when the verification is over."""

    stack: ExitStack
    forms: list[Form]

    def add(self, stage: str, file: str, precision: str, session: Session) -> None:
        self.stack.callback(session.close)
        self.forms.append(Form(stage, file, "float16" if precision == "fp16" else "float32", session))


def run(options: ExportOptions, reporter: Reporter | None = None) -> ExportResult:
    """Export one model.

    Raises InputError for what the user gave, StageError for a stage that failed; with a failed gate it returns ``passed=False`` when the
    bundle is kept, and raises ParityError otherwise. Nothing is left on disk by an export that did not end.
    """
    reporter = reporter or Silent()
    stages = Stages(reporter)
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        reporter.note(text)

    flavour = find_flavour(options.trt) if options.trt is not None else None
    plan = Plan.of(options.target, flavour, options.precision)
    with stages.run("source") as stage:
        source = load(options.model, options.source)
        samples = load_samples(options.samples, source.inputs) if options.samples is not None else None
        for text in (*source.notes, *(samples.notes if samples is not None else ())):
            note(text)
        stage.detail = f"{source.kind} {source.name}: {', '.join(s.describe() for s in source.inputs)}"
    place = destination(options)
    with BundleWriter(place, replace=options.force) as writer, ExitStack() as stack:
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
            onnx.save(lowered.model, writer.path / FP32)
            writer.add(FP32, "model-fp32")
            stage.detail = f"{len(lowered.model.graph.node)} standard nodes, {len(lowered.applied)} rewrites"
        counts = {FP32: record.operators(lowered.model)}
        half: PrecisionResult | None = None
        if halved is not None:
            with stages.run("fp16") as stage:
                half = convert(halved.model)
                for text in half.warnings:
                    note(text)
                onnx.save(half.model, writer.path / FP16)
                writer.add(FP16, "model-fp16")
                counts[FP16] = record.operators(half.model)
                stage.detail = f"{half.counts.fp16_nodes} nodes in FP16, {half.counts.fp32_nodes} kept in FP32, {half.counts.casts} casts"
        engines: list[EngineRecord] = []
        if flavour is not None:
            with stages.run("engine") as stage:
                note(f"{flavour.title}: {flavour.reason}")
                built = _engine(options, flavour, writer, inputs, captured.origins, reporter)
                engines.append(built)
                stage.detail = f"{built.file}, {len(built.layers)} layers"
        gpu = cuda_device()
        with stages.run("verify") as stage:
            outputs = output_specs(entered, lowered.model, options.seed)
            forms = _Forms(stack, [])
            _open_forms(forms, writer.path, half is not None, engines, gpu, note)
            cases = build_cases(inputs, _fitting(samples, inputs), options.seed, draws(outputs))
            verification = verify(entered.original, forms.forms, cases, outputs, source.task, options.gate, reporter)
            for text in entered.original.notes:
                note(text)
            stage.detail = f"{len(cases)} cases, worst ratio {_worst(verification.records)}"
        failures = tuple(verification.failures)
        if failures and not options.keep_failed:
            raise ParityError(
                "; ".join(failures),
                "nothing was written; look into it with --keep-failed, or allow more with --gate FACTOR",
            )
        write_golden(writer.path / GOLDEN, verification.golden)
        writer.add(GOLDEN, "golden")
        content = record.manifest(
            source, inputs, outputs, source.task, gpu, stages.records, rewritten, counts,
            record.precision(half, captured.origins), engines, verification, entered.attention, (*notes, *failures),
        )  # fmt: skip
        bundle = writer.commit(content)
    return ExportResult(place, not failures, failures, bundle.manifest)


def destination(options: ExportOptions) -> Path:
    """Where the bundle goes: ``--out`` (``.attn`` is added; in a folder that exists, under the model's name), else NAME.attn here."""
    if options.model is not None:
        name = options.model.stem
    else:
        name = options.source.arch or (options.source.factory or "model").rpartition(":")[2]
    out = options.out
    if out is None:
        return Path(f"{name}.attn")
    if out.name.endswith(".attn"):
        return out
    return out / f"{name}.attn" if out.is_dir() else out.with_name(f"{out.name}.attn")


def _kept(kept: dict[str, int], how: str) -> str:
    return f", {how}: " + ", ".join(f"{n} {op}" for op, n in kept.items()) if kept else ""


def _found(recognised: Recognised) -> str:
    counts = Counter(entry.description for entry in recognised.found)
    found = ", ".join(f"{count} {what}" for what, count in counts.items()) or "no local attention"
    return found + (f"; {len(recognised.refused)} left as they are" if recognised.refused else "")


def _engine(
    options: ExportOptions,
    flavour: Flavour,
    writer: BundleWriter,
    inputs: Sequence[TensorSpec],
    origins: Origins,
    reporter: Reporter,
) -> EngineRecord:
    model = writer.path / (FP16 if options.precision == "fp16" else FP32)
    engine = build_engine(model, inputs, flavour, options.engine, origins, reporter)
    version = ".".join(map(str, flavour.version[:3]))
    file = f"engines/{options.precision}.{flavour.name}-{version}.engine"
    path = writer.path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(engine.plan)
    writer.add(file, "engine")
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
