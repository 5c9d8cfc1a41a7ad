"""Write one bundle of encoder and step: each is a complete bundle in its folder; decodes verify both together."""

from dataclasses import replace

from ...runtime.bundle.bundle import MANIFEST, StoredBundle
from ...runtime.bundle.golden import write_golden
from ...runtime.bundle.stage import Stage
from ...runtime.bundle.writer import BundleFolder
from ...runtime.inputs.samples import Samples
from ..progress import Reporter, StageRun, Stages
from ..source import ModuleSource, Source
from ..stages.job import Job
from ..stages.manifest import base
from ..stages.verification import GOLDEN
from ..stages.write import Written, export_source
from ..verify.shown import GoldenOutputs
from .decodes import summary, verify_decodes
from .network import ENCODER, plan_of


class _PartReporter:
    """A reporter that adds the name of the part to stages and notes."""

    def __init__(self, reporter: Reporter, part: str) -> None:
        self._reporter, self._part = reporter, part

    def started(self, stage: str) -> None:
        self._reporter.started(f"{self._part}: {stage}")

    def note(self, text: str) -> None:
        self._reporter.note(f"{self._part}: {text}")

    def progress(self, done: float, text: str) -> None:
        self._reporter.progress(done, text)

    def finished(self, record: StageRun) -> None:
        self._reporter.finished(replace(record, part=self._part))


def export_sequence(job: Job, source: Source, samples: Samples | None, folder: BundleFolder) -> Written:
    """Write encoder and step of ``source``, and verify whole decodes.

    ``samples`` are inputs of the encoder. Failed gates are in the result, not raised. Raises InputError and
    StageError as the stages do.
    """
    assert isinstance(source, ModuleSource)  # by is_sequence
    plan = plan_of(source, job.options)
    options = replace(job.options, attention=False)
    if job.options.attention:
        job.note(
            "the step already outputs its attention over the source as 'attention': --outputs attention adds nothing"
        )
    failures: list[str] = []
    parts: dict[str, StoredBundle] = {}
    ran: dict[str, GoldenOutputs] = {}
    for name, part in plan.parts.items():
        reporter = _PartReporter(job.reporter, name)
        inner = Job(options, reporter, Stages(reporter), job.flavour)
        path = folder.path / name
        path.mkdir()
        part_folder = BundleFolder(path, f"part {name}")
        written = export_source(inner, part, samples if name == ENCODER else None, part_folder)
        parts[name] = part_folder.seal(written.manifest)
        for shown in written.ran.values():
            ran[name] = shown
        for file in (MANIFEST, *parts[name].manifest.files):
            folder.add(f"{name}/{file}", "part")
        job.stages.records += [replace(run, part=name) for run in inner.stages.records]
        failures += [f"{name}: {failure}" for failure in written.failures]
    with job.stages.run(Stage.DECODE) as stage:
        decodes = verify_decodes(plan, parts, samples, job.options.gate, job.options.seed, job.reporter)
        stage.detail = summary(decodes.facts.parity)
    failures += decodes.failures
    write_golden(folder.path / GOLDEN, decodes.golden)
    folder.add(GOLDEN, "golden")
    manifests = {name: part.manifest for name, part in parts.items()}
    encoder = manifests[ENCODER]
    content = replace(
        base(source, job.stages.records, (*job.notes, *failures)), inputs=encoder.inputs,
        parts={name: name for name in parts}, decode=decodes.facts, samples=encoder.samples,
    )  # fmt: skip
    return Written(content, tuple(failures), ran, manifests)
