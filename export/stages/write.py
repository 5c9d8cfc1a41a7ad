"""From a loaded model to the files of a bundle, as a readable list of stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from ...runtime.bundle.codec import encode
from ...runtime.bundle.figures import ParityRecord
from ...runtime.bundle.golden import write_golden
from ...runtime.bundle.manifest import Manifest
from ...runtime.bundle.sections import EngineRecord
from ...runtime.bundle.writer import BundleFolder
from ...runtime.device import cuda_device
from ...runtime.inputs.samples import Samples
from ...runtime.sessions import Session
from ...runtime.sessions.large_model import save_model
from ...runtime.sessions.open import open_session
from ...runtime.spec import TensorSpec
from ..engine.build import build_engine
from ..engine.flavour import Flavour
from ..engine.record import engine_file, engine_record
from ..graph.origin import Origins
from ..options import ExportOptions
from ..precision import PrecisionResult, half_type
from ..progress import Reporter
from ..reference.original import Precision
from ..search import SearchReport
from ..source import Source
from ..verify.attribution import StageModels
from ..verify.cases import build_cases, draws, few_samples
from ..verify.module_errors import look_inside
from ..verify.sampled import image_input, keep_sampled
from ..verify.shown import Shown, ran_at_export
from ..verify.variant import Form
from ..verify.verify import verify
from . import manifest as record
from .eight_bits import EIGHT, to_eight_bits
from .entry import enter
from .job import Job
from .models import FP32, HALF, TYPED, _found, _kept, fitting, output_specs, sixteen_bits
from .rewrite import Plan, find_windows, lower_for

GOLDEN = "golden.npz"
_TORCH: dict[str, Precision] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", **EIGHT}


@dataclass
class _Forms:
    """Sessions over what has been written, closed when the verification is over."""

    stack: ExitStack
    forms: list[Form]

    def add(self, stage: str, file: str, precision: str, session: Session, step: str = "") -> None:
        self.stack.callback(session.close)
        self.forms.append(Form(stage, file, _TORCH[precision], session, step))


@dataclass(frozen=True)
class Written:
    """What :func:`export_source` has put into a folder: the manifest to come with it, and every gate that failed.

    ``ran``: what the models gave for one golden case, by part (the whole has no name), for the report.
    """

    manifest: Manifest
    failures: tuple[str, ...]
    ran: Mapping[str, Shown]


def export_source(job: Job, source: Source, samples: Samples | None, folder: BundleFolder) -> Written:
    """Every stage from capture to verify for one loaded model, its files written into ``folder``.

    Failed gates are in the result, not raised. Raises InputError and StageError as :func:`run` does.
    """
    options, reporter, stages, note, flavour = job.options, job.reporter, job.stages, job.note, job.flavour
    options = replace(options, precision=options.model_type)
    plan = Plan.of(options.target, flavour, options.precision)
    with ExitStack() as stack:
        with stages.run("capture") as stage:
            entered = enter(source, options.outputs, options.seed, reporter, attention=options.attention)
            captured, inputs = entered.captured, entered.inputs
            for text in captured.notes:
                note(text)
            how = "raised" if source.kind == "onnx" else "kept whole"
            stage.detail = f"{len(captured.model.graph.node)} nodes{_kept(captured.kept, how)}"
            stage.facts["operators"] = record.operators(captured.model)
        with stages.run("recognise") as stage:
            recognised = find_windows(captured.model)
            stage.detail = _found(recognised)
            stage.facts["stands_for"] = {entry.node: len(entry.consumed) for entry in recognised.found}
        with stages.run("lower") as stage:
            lowered, typed_source = lower_for(recognised, plan, inputs, options.tune, reporter)
            rewritten = record.rewrites(lowered.applied, recognised, FP32, captured.origins)
            if typed_source is not None and typed_source is not lowered:
                rewritten += record.rewrites(
                    typed_source.applied, recognised, TYPED[options.precision], captured.origins
                )
            _save(lowered.model, folder, FP32, "model-fp32")
            stage.detail = f"{len(lowered.model.graph.node)} standard nodes, {len(lowered.applied)} rewrites"
        counts = {FP32: record.operators(lowered.model)}
        half: PrecisionResult | None = None
        searched: SearchReport | None = None
        outputs = output_specs(entered, lowered.model, options.seed)
        if typed_source is not None:
            with stages.run(options.precision) as stage:
                file, kind = TYPED[options.precision], half_type("bf16" if options.precision == "bf16" else "fp16")
                if options.precision in EIGHT:
                    real = fitting(samples, inputs)
                    half, original = to_eight_bits(
                        typed_source.model, options, entered, source.task, real, reporter, note
                    )
                    entered = replace(entered, original=original)
                else:
                    half, searched = sixteen_bits(
                        job, typed_source.model, outputs, entered, source.task, fitting(samples, inputs)
                    )
                for text in half.warnings:
                    note(text)
                _save(half.model, folder, file, f"model-{options.precision}")
                counts[file] = record.operators(half.model)
                counted = half.counts
                eight = (
                    f"{counted.quantised} layers in {options.precision.upper()}, " if options.precision in EIGHT else ""
                )
                said = f"{counted.half_nodes} nodes in {kind.title}, {counted.fp32_nodes} kept in FP32, {counted.casts} casts"
                stage.detail = eight + said
        engines: list[EngineRecord] = []
        if flavour is not None:
            with stages.run("engine") as stage:
                note(f"{flavour.title}: {flavour.reason}")
                built = _engine(options, flavour, folder, inputs, outputs, captured.origins, reporter)
                engines.append(built)
                stage.detail = f"{built.file}, {len(built.layers)} layers"
        gpu = cuda_device()
        with stages.run("verify") as stage:
            forms = _Forms(stack, [])
            _open_forms(forms, folder.path, options.precision, outputs, engines, gpu, note)
            cases = build_cases(inputs, fitting(samples, inputs), options.seed, draws(outputs))
            made = StageModels(captured, recognised, lowered, typed_source, half.model if half is not None else None)
            maps = {entry.output for entry in entered.attention}
            verification = verify(
                entered.original, forms.forms, cases, outputs, source.task, options.gate, reporter, made, maps
            )
            for text in entered.original.notes:
                note(text)
            stage.detail = f"{len(cases)} cases, worst ratio {_worst(verification.records)}"
            ran = ran_at_export(verification.golden, ((form.stage, form.session) for form in forms.forms))
            stack.close()  # each holds the weights once or twice, and what follows opens models of its own
            seen = few_samples(cases).feeds
            inside = look_inside(made, entered.original, seen, f"emulated-{options.precision}")
            stage.facts["modules"] = encode(inside.errors)
            keep_sampled(folder, image_input(seen), inside.sampled)
    failures = tuple(verification.failures)
    write_golden(folder.path / GOLDEN, verification.golden)
    folder.add(GOLDEN, "golden")
    content = record.manifest(
        source, inputs, outputs, source.task, gpu, stages.records, rewritten, counts,
        record.precision(half, captured.origins, searched), engines, verification, entered.attention, (*job.notes, *failures),
        record.samples(samples, options.samples),
    )  # fmt: skip
    return Written(content, failures, {} if ran is None else {"": ran})


def _save(model: onnx.ModelProto, folder: BundleFolder, file: str, role: str) -> None:
    path, *beside = save_model(model, folder.path / file)
    folder.add(path.name, role)
    for data in beside:
        folder.add(data.name, "weights")


def _engine(
    options: ExportOptions,
    flavour: Flavour,
    folder: BundleFolder,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    origins: Origins,
    reporter: Reporter,
) -> EngineRecord:
    model = folder.path / TYPED.get(options.precision, FP32)
    if options.io_precision == "same" and options.precision in HALF:
        inputs = [replace(spec, dtype="float16") if spec.dtype == "float32" else spec for spec in inputs]
    engine = build_engine(model, inputs, flavour, options.engine, origins, reporter)
    file = engine_file(options.precision, flavour)
    path = folder.path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(engine.plan)
    folder.add(file, "engine")
    return engine_record(engine, file, options.precision, model.name, outputs)


def _open_forms(
    forms: _Forms,
    folder: Path,
    precision: str,
    outputs: Sequence[TensorSpec],
    engines: Sequence[EngineRecord],
    gpu: tuple[str, str] | None,
    note: Any,
) -> None:
    wanted = {spec.name: spec.dtype for spec in outputs}

    def add(stage: str, file: str, kind: str, backend: str, step: str = "") -> None:
        forms.add(stage, file, kind, open_session(folder / file, backend, wanted, spin=False), step)

    add("onnx-fp32", FP32, "fp32", "onnxruntime", "lower")
    if precision == "fp16":  # BF16 is emulated only: ONNX Runtime's CPU provider has no BF16 operators
        add("onnx-fp16", HALF[precision], precision, "onnxruntime")
    if precision in TYPED:
        add(f"emulated-{precision}", TYPED[precision], precision, "emulated", "cast")
    for engine in engines:
        if gpu is None:
            note(f"{engine.file} was not run: no GPU is here; attnexport check runs it where one is")
            continue
        add(f"engine-{engine.precision}", engine.file, engine.precision, engine.flavour, "engine")


def _worst(records: Sequence[ParityRecord]) -> str:
    return f"{max((r.gate.ratio for r in records), default=0.0):.2f}"
