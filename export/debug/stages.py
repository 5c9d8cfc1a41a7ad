"""The stages of an export one by one, as ``attnexport MODEL`` runs them, each made only when it is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from ...errors import InputError
from ...runtime.bundle.bundle import StoredBundle, sha256_of
from ...runtime.inputs.samples import Samples
from ...runtime.spec import TensorSpec
from ..reference.original import Original, Precision
from ..source import CapturedModel, Source
from ..stages.eight_bits import EIGHT, to_eight_bits
from ..stages.job import Job
from ..stages.models import FP32, TYPED, output_specs, sixteen_bits
from ..stages.rewrite import Plan, find_windows, lower_for
from ..verify.trail import Trail
from .memory import free

BEFORE = ("capture", "rewrite", "lower")
PRECISION: dict[str, Precision] = {"fp16": "float16", "bf16": "bfloat16", **EIGHT}


@dataclass
class Stage:
    """One stage's graph. ``typed``: run under emulation, since ONNX Runtime's CPU provider rounds to no 16-bit type."""

    name: str
    precision: Precision
    model: onnx.ModelProto
    typed: bool = False
    original: Original | None = None
    """The original, if the stage taught it to evaluate this precision; the captured one if None."""

    @property
    def shipped(self) -> bool:
        """Whether ONNX Runtime runs this very graph in a bundle, with its optimisations."""
        return self.name == "lower"


@dataclass
class Prepared:
    """A captured model and what is known of its outputs; the captured graph is handed on to the first stage."""

    source: Source
    entered: CapturedModel
    outputs: tuple[TensorSpec, ...]
    trail: Trail
    samples: Samples | None


def prepared(job: Job, source: Source, entered: CapturedModel, samples: Samples | None) -> Prepared:
    """What every stage is held to."""
    outputs = output_specs(entered, entered.captured.model, job.options.seed)
    return Prepared(source, entered, outputs, Trail(entered.captured.origins), samples)


def stages(job: Job, ready: Prepared) -> Iterator[Stage]:
    """Capture, rewrite, lower, and the model of the type that was asked for; where that is made of other forms, those first.

    ``ready.trail`` learns of each rewrite on the way. Raises what the stages raise.
    """
    form = job.options.model_type
    captured = ready.entered.captured
    yield Stage("capture", "float32", captured.model)
    with job.stages.run("recognise") as stage:
        recognised = find_windows(captured.model)
        ready.trail.recognised(recognised)
        ready.entered = replace(ready.entered, captured=replace(captured, model=onnx.ModelProto()))
        del captured
        stage.detail = f"{len(recognised.found)} found"
    free()
    yield Stage("rewrite", "float32", recognised.model)
    with job.stages.run("lower") as stage:
        plan = Plan.of(job.options.target, job.flavour, form)
        lowered, typed_source = lower_for(recognised, plan, ready.entered.inputs, job.options.tune, job.reporter)
        ready.trail.lowered(lowered.applied)
        stage.detail = f"{len(lowered.model.graph.node)} standard nodes"
    del recognised
    free()
    same = typed_source is lowered
    yield Stage("lower", "float32", lowered.model)
    del lowered
    if typed_source is None:
        return
    if not same:
        ready.trail.lowered(typed_source.applied)
        yield Stage(f"lower-{form}", "float32", typed_source.model)
    original: Original | None = None
    with job.stages.run(form) as stage:
        if form in EIGHT:
            made, original = to_eight_bits(
                typed_source.model, job.options, ready.entered, ready.source.task, ready.samples, job.reporter, job.note
            )
        else:
            made, _ = sixteen_bits(
                job, typed_source.model, ready.outputs, ready.entered, ready.source.task, ready.samples
            )
        stage.detail = f"{made.counts.half_nodes} nodes in {form.upper()}, {made.counts.fp32_nodes} in FP32"
    del typed_source
    free()
    yield Stage(form, PRECISION[form], made.model, typed=True, original=original)


def stages_of_bundle(job: Job, path: Path) -> Iterator[Stage]:
    """What a bundle holds: the lowered model, and the one of another type.

    Raises BundleError for what is no bundle, InputError for one of several parts.
    """
    bundle = StoredBundle.open(path)
    if bundle.manifest.parts:
        raise InputError(f"{path} has parts ({', '.join(bundle.manifest.parts)})", "look into the model itself")
    held: list[tuple[str, Precision, str]] = [("lower", "float32", FP32)]
    held += [(form, PRECISION[form], file) for form, file in TYPED.items()]
    for name, precision, file in held:
        if file in bundle.manifest.files:
            if sha256_of(bundle.file(file)) != bundle.manifest.files[file].sha256:
                job.note(f"{file} is not the file that the bundle was written with")
            yield Stage(name, precision, _load(bundle.file(file)), typed=name != "lower")


def names_of(form: str) -> Sequence[str]:
    """What ``--stage`` may be for an export to this type."""
    return (*BEFORE, *((form,) if form != "fp32" else ()))


def _load(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf's exceptions have no public base
        raise InputError(f"{path} is not readable as ONNX: {error}") from error
