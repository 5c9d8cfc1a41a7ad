"""Export one loaded model: build, write, engines, verify, describe."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...runtime.bundle.manifest import Manifest
from ...runtime.bundle.writer import BundleFolder
from ...runtime.inputs.samples import Samples
from ..source import Source
from ..verify.shown import GoldenOutputs
from .build import build, build_engines, write
from .job import Job
from .manifest import describe
from .verification import verify_models


@dataclass(frozen=True)
class Written:
    """The result of writing one export into a folder: its manifest, and each gate that failed.

    ``ran``: the outputs of each model for one golden case, by part (``""`` for the whole), for the report. ``parts``: the
    manifest of each part of a bundle with parts.
    """

    manifest: Manifest
    failures: tuple[str, ...]
    ran: Mapping[str, GoldenOutputs]
    parts: Mapping[str, Manifest] = field(default_factory=dict)


def export_source(job: Job, source: Source, samples: Samples | None, folder: BundleFolder) -> Written:
    """Run every stage from capture to verify for one loaded model, and write its files into ``folder``.

    Failed gates are in the result, not raised. Raises InputError and StageError as the stages do.
    """
    built = build(job, source, samples)
    write(built, folder)
    engines = build_engines(job, built, folder)
    verified = verify_models(job, built, engines, source.task, samples, folder)
    manifest = describe(job, source, built, engines, verified, samples)
    failures = tuple(verified.verification.failures)
    return Written(manifest, failures, {} if verified.ran is None else {"": verified.ran})
