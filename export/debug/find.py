"""Find the first stage whose outputs fail, the place in it where the error starts, and a reproducer."""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError, StageError
from ...runtime.bundle.attribution import Blame
from ...runtime.bundle.divergence import Divergence, OutputError, Reproducer
from ...runtime.bundle.figures import rounding_floor
from ...runtime.bundle.stage import Stage
from ...runtime.files.atomic import PartialDirectory, publish
from ...runtime.files.strangers import refuse_strangers
from ..options import ExportOptions
from ..pipeline import begin
from ..progress import Reporter, Silent, Stages
from ..reference.original import Precision
from ..stages.models import capture, output_specs
from ..stages.stage_model import EIGHT, StageModel, TypedModel
from ..stages.typed import fitting
from ..verify.blame import EIGHT_BITS, blame_place
from ..verify.cases import build_cases, draws
from ..verify.locate import locate
from ..verify.sides import Side
from ..verify.trail import Trail
from .judge import Judged, Reference, few, free, judge
from .modules import Types, module_rows, tensor_rows
from .reference import OriginalTensors
from .reproduce import FILES, FaultyPart, smallest_part, write
from .stages import bundle_stages, export_stages, stage_names
from .sweep import Compared, TensorReader, sweep

REPORT = "divergence.json"


def debug(
    options: ExportOptions,
    reporter: Reporter | None = None,
    *,
    stage: str | None = None,
    bundle: Path | None = None,
    folder: Path | None = None,
    replace: bool = False,
) -> Divergence:
    """Find the place where a stage differs from the original.

    ``stage``: a name of :func:`~.stages.stage_names`; None for the first stage whose outputs fail their gate, or for the
    last stage if none does. ``bundle``: check the models of this bundle instead of building them. If an output fails,
    ``folder`` gets the smallest part of the graph that is wrong by itself; a folder that exists is replaced only with
    ``replace``. Raises InputError and StageError as the export does.
    """
    reporter = reporter or Silent()
    if folder is not None and folder.exists() and not replace:
        raise InputError(f"{folder} exists already", "replace it with --force, or choose another with --out")
    if folder is not None and folder.exists():
        _refuse_to_replace(folder)
    names = stage_names(options.model_type)
    if stage is not None and bundle is None and stage not in names:
        raise InputError(f"--stage {stage} is not a stage of this export", f"use one of {', '.join(names)}")
    prepared = begin(options, reporter)
    job, source = prepared.job, prepared.source
    if prepared.split:
        raise InputError(f"{source.name} is exported as an encoder and a step", "debug the one graph with --whole")
    captured = capture(job, source)
    samples = fitting(prepared.samples, captured.inputs)
    outputs = output_specs(captured, captured.captured.model, options.seed)
    trail = Trail(captured.captured.origins)
    originals = OriginalTensors(captured)
    cases = few(build_cases(captured.inputs, samples, options.seed, draws(outputs)))
    reference = Reference(captured.original, cases, outputs, options.gate)
    models = bundle_stages(job, bundle) if bundle else export_stages(job, captured, source.task, samples, trail)
    del captured
    search = _StageSearch(reference, originals, trail, job.stages, reporter, folder, replace)
    opened = search.first_failing(models, stage)
    with opened.taps:
        return search.report(opened)


@dataclass(frozen=True)
class _Opened:
    """A stage with its verdict. Its graph is in ``taps``, without the weights.

    ``by_runtime``: only the optimised graph fails, so the error is in ONNX Runtime.
    """

    name: str
    precision: Precision
    taps: TensorReader
    judged: Judged
    by_runtime: bool


@dataclass(frozen=True)
class _StageSearch:
    """One search in progress."""

    reference: Reference
    originals: OriginalTensors
    trail: Trail
    stages: Stages
    reporter: Reporter
    folder: Path | None
    replace: bool

    def first_failing(self, models: Iterator[StageModel], name: str | None) -> _Opened:
        """Return the first stage that fails, or the stage ``name``; the last if none fails. Unchanged stages are skipped."""
        opened: _Opened | None = None
        while (stage := next(models, None)) is not None:
            if stage.name == name or (name is None and stage.changed):
                if opened is not None:
                    opened.taps.close()
                opened = self._open(stage)
            # The next model is built without this one in memory.
            del stage
            free()
            if opened is not None and (opened.judged.failed or name is not None):
                break
        if opened is None:
            raise InputError(f"--stage {name} is not in the bundle", "leave it out to check every model")
        return opened

    def _open(self, stage: StageModel) -> _Opened:
        with self.stages.run(f"{stage.name}?") as record:
            self._check(stage)
            if isinstance(stage, TypedModel):
                self.reference.original = stage.original
            taps = TensorReader(stage.model, typed=stage.typed)
            judged, by_runtime = judge(stage, taps, self.reference), False
            if stage.name == Stage.LOWER and not judged.failed:
                # ONNX Runtime optimises the graph of a bundle before it runs it.
                judged = judge(stage, taps, self.reference, optimize=True)
                by_runtime = bool(judged.failed)
            worst = max(judged.outputs, key=lambda output: output.ratio)
            record.detail = f"error {worst.ratio:.2f}x PyTorch's {stage.precision}"
            if judged.failed:
                record.detail += f", above the limit for {len(judged.failed)} of {len(judged.outputs)} outputs"
        return _Opened(stage.name, stage.precision, taps, judged, by_runtime)

    def _check(self, stage: StageModel) -> None:
        """Raise InputError if the stage has other outputs: a bundle may be of another network."""
        expected = [spec.name for spec in self.reference.outputs]
        actual = [value.name for value in stage.model.graph.output]
        if set(expected) != set(actual):
            raise InputError(
                f"{stage.name} has outputs {', '.join(actual)}, but the model has {', '.join(expected)}",
                "pass the model and the options that the bundle was exported with",
            )

    def report(self, opened: _Opened) -> Divergence:
        """Compare every tensor of the stage on one case; if an output fails, find the place and write the reproducer."""
        taps, case = opened.taps, opened.judged.case
        chosen = self.originals.of(case.feeds, self.reference.of(case, "float64"))
        if chosen is None:
            raise StageError("debug", "only the outputs of the original are available", "pass the PyTorch module")
        types = Types(taps.light, taps.typed)
        with self.stages.run("tensors") as record:
            compared = sweep(taps, chosen.side, case.feeds, self.reporter.progress)
            record.detail = f"{len(compared)} tensors of {opened.name} compared on {case.name}"
        divergence = Divergence(
            stage=opened.name, precision=opened.precision, case=case.name, reference=chosen.text,
            outputs=opened.judged.outputs, modules=module_rows(taps.light, taps.flow, compared, self.trail, types),
            tensors=tensor_rows(taps.flow, compared, self.trail, types), notes=chosen.notes,
        )  # fmt: skip
        if not opened.judged.failed:
            return divergence
        with self.stages.run("place") as record:
            divergence = self._blame(divergence, opened, chosen.side, compared, types)
            record.detail = divergence.place.describe() if divergence.place is not None else ""
        return divergence

    def _blame(
        self, divergence: Divergence, opened: _Opened, side: Side, compared: Mapping[str, Compared], types: Types
    ) -> Divergence:
        taps, case = opened.taps, opened.judged.case
        if opened.by_runtime:
            note = "the graph is correct as written: ONNX Runtime's optimisations cause the error"
            return dataclasses.replace(divergence, place=Blame(opened.name), notes=(*divergence.notes, note))
        errors = {name: tensor.error for name, tensor in compared.items()}
        for output in sorted(opened.judged.failed, key=lambda output: -output.ratio):
            if output.output not in errors:
                continue
            final = min(errors[output.output], 1.0)
            floor = _floor(output, final)
            place = locate(taps.flow, set(errors), output.output, lambda names: {n: errors[n] for n in names}, floor)
            if place is None:
                continue
            blame = blame_place(self.trail, opened.name, taps.flow, place)
            limit = math.sqrt(floor * final)
            divergence = dataclasses.replace(divergence, place=blame, tensor=place.tensor)
            part = smallest_part(taps, side, case.feeds, place, compared, types, limit)
            if part is None:
                note = "no part of the graph is wrong by itself: the error adds up over the whole graph"
                return dataclasses.replace(divergence, notes=(*divergence.notes, note))
            if self.folder is not None:
                title = f"{taps.flow.maker[place.tensor].op_type} of {blame.describe()}, on {case.name}"
                return dataclasses.replace(divergence, reproducer=self._write(part, divergence, title, limit))
            return divergence
        return dataclasses.replace(divergence, place=Blame(opened.name))

    def _write(self, part: FaultyPart, divergence: Divergence, title: str, limit: float) -> Reproducer:
        assert self.folder is not None
        partial = PartialDirectory(self.folder.absolute())
        try:
            reproducer = write(part, partial.path, self.folder, title, limit)
            report = json.dumps(dataclasses.replace(divergence, reproducer=reproducer).to_json(), indent=1)
            (partial.path / REPORT).write_text(report, encoding="utf-8")
            if self.folder.exists():
                _refuse_to_replace(self.folder)
            publish(partial.path, self.folder.absolute(), replace=self.replace)
        finally:
            partial.close()
        return reproducer


def _refuse_to_replace(folder: Path) -> None:
    """Raise InputError unless everything in ``folder`` has a name that this command writes, the report among them."""
    if folder.is_symlink() or not (folder / REPORT).is_file():
        raise InputError(
            f"{folder} was not written by attnexport debug, so it is never replaced", "give another folder with --out"
        )
    refuse_strangers(folder, {REPORT, *FILES}, "attnexport debug does not write")


def _floor(output: OutputError, final: float) -> float:
    """Return the relative error that is not a fault: PyTorch's error of that output, at least one rounding.

    A tensor is wrong above the geometric mean of this and of ``final``, the error of the output.
    """
    precision = output.precision
    rounding = EIGHT_BITS if precision in EIGHT.values() else rounding_floor(precision, 1.0)
    torch_error = output.relative / output.ratio if math.isfinite(output.relative) and output.ratio > 0 else 0.0
    return min(max(rounding, torch_error), final / 2)
