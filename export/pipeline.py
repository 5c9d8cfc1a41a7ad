"""Export one model to a bundle on disk. :mod:`.stages.write` lists the stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, ParityError
from ..runtime.bundle.codec import encode
from ..runtime.bundle.manifest import Manifest
from ..runtime.bundle.stage import Stage
from ..runtime.bundle.writer import BundleWriter
from ..runtime.inputs.samples import Samples, load_samples
from ..runtime.spec import TensorSpec
from .engine.config import refuse_engine
from .engine.flavour import find_flavour
from .options import ExportOptions
from .progress import Reporter, Silent
from .report.page import add_page
from .sequence import check_lengths, check_sequence_options, export_sequence, is_sequence
from .source import Source, load
from .stages.job import Job
from .stages.rewrite import Plan
from .stages.write import export_source


@dataclass(frozen=True)
class ExportResult:
    """The result of an export. ``parts``: the manifest of each part of a bundle with parts."""

    bundle: Path
    passed: bool
    failures: tuple[str, ...]
    manifest: Manifest
    parts: Mapping[str, Manifest] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary for ``--json``: the path, the verdict, and the whole manifest."""
        return {
            "bundle": str(self.bundle),
            "passed": self.passed,
            "failures": list(self.failures),
            "manifest": self.manifest.to_json(),
            "parts": encode(self.parts),
        }


def run(options: ExportOptions, reporter: Reporter | None = None, source: Source | None = None) -> ExportResult:
    """Export the model that ``options`` name, or ``source`` if it is loaded already.

    Raises InputError for invalid options or inputs, StageError if a stage fails. If a gate fails, it returns
    ``passed=False`` with ``--keep-failed``, else it raises ParityError. A failed export leaves nothing on disk.
    """
    prepared = begin(options, reporter or Silent(), source)
    job, source = prepared.job, prepared.source
    path = destination(options)
    with BundleWriter(path, replace=options.force) as writer:
        written = (export_sequence if prepared.split else export_source)(job, source, prepared.samples, writer)
        if written.failures and not options.keep_failed:
            remedy = "nothing was written; inspect the bundle with --keep-failed"
            if not all("--allow-unstable" in failure for failure in written.failures):
                remedy += ", or raise the limit with --gate FACTOR"
            raise ParityError("; ".join(written.failures), remedy)
        with job.stages.run(Stage.REPORT) as stage:
            stage.detail = add_page(writer, written.manifest, written.parts, written.ran)
        bundle = writer.commit(written.manifest)
    return ExportResult(path, not written.failures, written.failures, bundle.manifest, written.parts)


@dataclass(frozen=True)
class PreparedExport:
    """A loaded model with its samples. ``split``: it is exported as an encoder and a decoder step."""

    job: Job
    source: Source
    samples: Samples | None
    split: bool


def begin(options: ExportOptions, reporter: Reporter, source: Source | None = None) -> PreparedExport:
    """Load the model, unless ``source`` is passed, and its samples. Raises InputError for invalid options or inputs."""
    job = Job.of(options, reporter, find_flavour(options.trt) if options.trt is not None else None)
    Plan.of(options.target, job.flavour, options.model_type)  # validates the target before a large model is read
    refuse_engine(options.precision, job.flavour, options.engine.compute_capabilities)
    with job.stages.run(Stage.SOURCE) as stage:
        source = source or load(options.model, options.source)
        check_lengths(source)
        split = is_sequence(source) and not options.whole
        check_sequence_options(options, split)
        # A decode produces its own target tokens.
        samples = _samples(options, source.inputs[:1] if split else source.inputs)
        for text in (*source.notes, *(samples.notes if samples is not None else ())):
            job.note(text)
        stage.detail = f"{source.kind} {source.name}: {', '.join(s.describe() for s in source.inputs)}"
    return PreparedExport(job, source, samples, split)


def _samples(options: ExportOptions, inputs: Sequence[TensorSpec]) -> Samples | None:
    if options.samples is not None:
        return load_samples(options.samples, inputs, options.image_scale)
    if options.image_scale is not None:
        raise InputError("--image-mean and --image-std require --samples", "add --samples FOLDER of images")
    return None


def destination(options: ExportOptions) -> Path:
    """Return the path of the bundle: ``--out`` with ``.attn``, NAME.attn in an existing folder, or NAME.attn here."""
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
