"""The whole export, from the user's input to a bundle on disk; the list of stages is in stages.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, ParityError
from ..runtime.bundle.manifest import Manifest
from ..runtime.bundle.stage import Stage
from ..runtime.bundle.writer import BundleWriter
from ..runtime.inputs.samples import Samples, load_samples
from ..runtime.spec import TensorSpec
from .engine.capability import refuse_engine
from .engine.flavour import find_flavour
from .options import ExportOptions
from .progress import Reporter, Silent
from .report.page import add_page
from .sequence import (
    WrittenSequence,
    check_lengths,
    check_sequence_options,
    export_sequence,
    is_sequence,
)
from .source import Source, load
from .stages.job import Job
from .stages.rewrite import Plan
from .stages.write import export_source


@dataclass(frozen=True)
class ExportResult:
    """What was written. ``bundle`` is None where a gate failed and nothing was kept."""

    bundle: Path | None
    passed: bool
    failures: tuple[str, ...]
    manifest: Manifest
    parts: dict[str, Manifest] = field(default_factory=dict)
    """Of a bundle with parts, the manifest of each."""

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for ``--json``: the verdict, the path, and the whole manifest."""
        return {
            "bundle": str(self.bundle) if self.bundle is not None else None,
            "passed": self.passed,
            "failures": list(self.failures),
            "manifest": self.manifest.to_json(),
            "parts": {name: manifest.to_json() for name, manifest in self.parts.items()},
        }


def run(options: ExportOptions, reporter: Reporter | None = None, source: Source | None = None) -> ExportResult:
    """Export one model: the one that ``options`` name, or ``source``, which is loaded already.

    Raises InputError for what the user gave, StageError for a stage that failed; with a failed gate it returns ``passed=False`` when the
    bundle is kept, and raises ParityError otherwise. Nothing is left on disk by an export that did not end.
    """
    begun = begin(options, reporter or Silent(), source)
    job, source = begun.job, begun.source
    place = destination(options)
    with BundleWriter(place, replace=options.force) as writer:
        written = (export_sequence if begun.split else export_source)(job, source, begun.samples, writer)
        if written.failures and not options.keep_failed:
            raise refusal(written.failures)
        parts = written.parts if isinstance(written, WrittenSequence) else {}
        with job.stages.run(Stage.REPORT) as stage:
            stage.detail = add_page(writer, written.manifest, parts, written.ran)
        bundle = writer.commit(written.manifest)
    return ExportResult(place, not written.failures, written.failures, bundle.manifest, parts)


@dataclass(frozen=True)
class PreparedExport:
    """What every use of a model starts with. ``split``: it is exported as an encoder and a decoder step."""

    job: Job
    source: Source
    samples: Samples | None
    split: bool


def begin(options: ExportOptions, reporter: Reporter, source: Source | None = None) -> PreparedExport:
    """Read the model, unless ``source`` is one, and its samples. Raises InputError for what the user gave."""
    job = Job.of(options, reporter, find_flavour(options.trt) if options.trt is not None else None)
    Plan.of(options.target, job.flavour, options.model_type)  # refuses a target before a large model is read
    refuse_engine(options.precision, job.flavour, options.engine.compute_capabilities)
    with job.stages.run(Stage.SOURCE) as stage:
        source = source or load(options.model, options.source)
        check_lengths(source)
        split = is_sequence(source) and not options.whole
        check_sequence_options(options, split)
        # A decode writes its own targets.
        samples = _samples(options, source.inputs[:1] if split else source.inputs)
        for text in (*source.notes, *(samples.notes if samples is not None else ())):
            job.note(text)
        stage.detail = f"{source.kind} {source.name}: {', '.join(s.describe() for s in source.inputs)}"
    return PreparedExport(job, source, samples, split)


def _samples(options: ExportOptions, inputs: Sequence[TensorSpec]) -> Samples | None:
    if options.samples is not None:
        return load_samples(options.samples, inputs, options.image_scale)
    if options.image_scale is not None:
        raise InputError("--image-mean and --image-std belong to --samples", "add --samples FOLDER of images")
    return None


def refusal(failures: Sequence[str]) -> ParityError:
    """The error of gates that failed where the bundle is not to be kept."""
    return ParityError(
        "; ".join(failures), "nothing was written; look into it with --keep-failed, or allow more with --gate FACTOR"
    )


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
