"""The whole search: the first stage whose outputs fail, every tensor of it, the place where they part, and what reproduces it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError, StageError
from ...runtime.bundle.atomic import PartialDirectory, publish
from ...runtime.bundle.attribution import Blame
from ...runtime.bundle.divergence import Divergence, OutputError, Reproducer
from ...runtime.bundle.figures import rounding_floor
from ..options import ExportOptions
from ..pipeline import begin
from ..progress import Reporter, Silent, Stages
from ..reference.original import Precision
from ..stages.eight_bits import EIGHT
from ..stages.entry import enter
from ..stages.models import fitting
from ..verify.blame import EIGHT_BITS, named
from ..verify.cases import build_cases, draws
from ..verify.locate import locate
from ..verify.sides import Side
from ..verify.trail import Trail
from .judge import Judged, Truth, few, judge
from .memory import free
from .modules import Types, module_rows, tensor_rows
from .reference import OriginalTensors
from .reproduce import FaultyPart, smallest_part, write
from .stages import Stage, names_of, prepared, stages, stages_of_bundle
from .sweep import Compared, sweep
from .taps import TensorReader

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
    """Look for the place where a stage parts from the original.

    ``stage``: capture, rewrite, lower or the type that is exported to; None for the first stage whose outputs fail
    their gate, or the last where none does. ``bundle``: look into the models of this bundle instead of making them.
    Where an output fails, ``folder`` gets the smallest part of the graph that is wrong by itself; what was there goes with
    ``replace`` only.
    Raises InputError and StageError as the export does.
    """
    reporter = reporter or Silent()
    if folder is not None and folder.exists() and not replace:
        raise InputError(f"{folder} is already there", "replace it with --force, or name another with --out")
    if stage is not None and bundle is None and stage not in names_of(options.model_type):
        raise InputError(
            f"--stage {stage} is none of this export's", f"use one of {', '.join(names_of(options.model_type))}"
        )
    begun = begin(options, reporter)
    job, source = begun.job, begun.source
    if begun.split:
        raise InputError(f"{source.name} is exported as an encoder and a step", "look into the one graph with --whole")
    with job.stages.run("capture") as record:
        entered = enter(source, options.outputs, options.seed, reporter, attention=options.attention)
        record.detail = f"{len(entered.captured.model.graph.node)} nodes"
    ready = prepared(job, source, entered, fitting(begun.samples, entered.inputs))
    reference = OriginalTensors(entered)
    cases = few(build_cases(entered.inputs, ready.samples, options.seed, draws(ready.outputs)))
    truth = Truth(entered.original, cases, ready.outputs, options.gate)
    del entered
    made = stages(job, ready) if bundle is None else stages_of_bundle(job, bundle)
    look = _StageSearch(truth, reference, ready.trail, job.stages, reporter, folder, replace)
    opened = look.first_failing(made, stage)
    with opened.taps:
        return look.report(opened)


@dataclass(frozen=True)
class _Opened:
    """A stage that was judged. Its graph is in ``taps``, without the weights."""

    name: str
    precision: Precision
    taps: TensorReader
    judged: Judged
    by_runtime: bool
    """It fails, and is right as it is written: by what ONNX Runtime's optimisations make of it."""


@dataclass(frozen=True)
class _StageSearch:
    """One search under way."""

    truth: Truth
    reference: OriginalTensors
    trail: Trail
    stages: Stages
    reporter: Reporter
    folder: Path | None
    replace: bool

    def first_failing(self, made: Iterator[Stage], wished: str | None) -> _Opened:
        """The first stage that fails, or the one that is wished for; the last where none does."""
        opened: _Opened | None = None
        while (stage := next(made, None)) is not None:
            if wished is None or stage.name == wished:
                if opened is not None:
                    opened.taps.close()
                opened = self._open(stage)
            # The next stage is made while this one is no longer held.
            del stage
            free()
            if opened is not None and (opened.judged.failed or wished is not None):
                break
        if opened is None:
            raise InputError(f"--stage {wished} is not in the bundle", "leave it out to look at all that is")
        return opened

    def _open(self, stage: Stage) -> _Opened:
        with self.stages.run(f"{stage.name}?") as record:
            self._check(stage)
            if stage.original is not None:
                self.truth.original = stage.original
            taps = TensorReader(stage.model, typed=stage.typed)
            judged, by_runtime = judge(stage, taps, self.truth), False
            if stage.shipped and not judged.failed:
                # As it is shipped: ONNX Runtime changes a graph before it runs it.
                judged = judge(stage, taps, self.truth, optimize=True)
                by_runtime = bool(judged.failed)
            worst = max(judged.outputs, key=lambda one: one.ratio)
            record.detail = f"error {worst.ratio:.2f}x PyTorch's own {stage.precision}" + (
                f", too much for {len(judged.failed)} of {len(judged.outputs)} outputs" if judged.failed else ""
            )
        return _Opened(stage.name, stage.precision, taps, judged, by_runtime)

    def _check(self, stage: Stage) -> None:
        """A bundle's model may be of another network."""
        wanted = [spec.name for spec in self.truth.outputs]
        given = [value.name for value in stage.model.graph.output]
        if set(wanted) != set(given):
            raise InputError(
                f"{stage.name} gives {', '.join(given)}, and the model gives {', '.join(wanted)}",
                "hand in the model and the options that the bundle was made with",
            )

    def report(self, opened: _Opened) -> Divergence:
        """Every tensor of the stage on the telling case; where an output fails, the place and what reproduces it."""
        taps, case = opened.taps, opened.judged.case
        chosen = self.reference.of(case.feeds, self.truth.of(case, "float64"))
        if chosen is None:
            raise StageError("debug", "the original shows nothing but its outputs", "hand in the PyTorch module")
        types = Types(taps.light, taps.typed)
        with self.stages.run("tensors") as record:
            compared = sweep(taps, chosen.side, case.feeds, self.reporter.progress)
            record.detail = f"{len(compared)} tensors of {opened.name} compared on {case.name}"
        found = Divergence(
            stage=opened.name,
            precision=opened.precision,
            case=case.name,
            reference=chosen.text,
            outputs=opened.judged.outputs,
            modules=module_rows(taps.light, taps.flow, compared, self.trail, types),
            tensors=tensor_rows(taps.flow, compared, self.trail, types),
            notes=chosen.notes,
        )
        if not opened.judged.failed:
            return found
        with self.stages.run("place") as record:
            found = self._blame(found, opened, chosen.side, compared, types)
            record.detail = found.place.describe() if found.place is not None else ""
        return found

    def _blame(
        self, found: Divergence, opened: _Opened, side: Side, compared: Mapping[str, Compared], types: Types
    ) -> Divergence:
        taps, case = opened.taps, opened.judged.case
        if opened.by_runtime:
            detail = "as it is written the graph is right: ONNX Runtime's optimisations make the error"
            return dataclasses.replace(found, place=Blame(opened.name), notes=(*found.notes, detail))
        for output in sorted(opened.judged.failed, key=lambda one: -one.ratio):
            if output.output not in compared:
                continue
            final = min(compared[output.output].error, 1.0)
            floor = _floor(output, final)
            place = locate(
                taps.flow, set(compared), output.output, lambda names: {n: compared[n].error for n in names}, floor
            )
            if place is None:
                continue
            blame = named(self.trail, opened.name, taps.flow, place)
            allowed = math.sqrt(floor * final)
            found = dataclasses.replace(found, place=blame, tensor=place.tensor)
            part = smallest_part(taps, side, case.feeds, place, compared, types, allowed)
            if part is None:
                note = "no part of the graph is wrong by itself: the error adds up over all of it"
                return dataclasses.replace(found, notes=(*found.notes, note))
            if self.folder is not None:
                title = f"{taps.flow.maker[place.tensor].op_type} of {blame.describe()}, on {case.name}"
                return dataclasses.replace(found, reproducer=self._write(part, found, title, allowed))
            return found
        return dataclasses.replace(found, place=Blame(opened.name))

    def _write(self, part: FaultyPart, found: Divergence, title: str, allowed: float) -> Reproducer:
        assert self.folder is not None
        partial = PartialDirectory(self.folder.absolute())
        try:
            made = write(part, partial.path, self.folder, title, allowed)
            report = json.dumps(dataclasses.replace(found, reproducer=made).to_json(), indent=1)
            (partial.path / REPORT).write_text(report, encoding="utf-8")
            publish(partial.path, self.folder.absolute(), replace=self.replace)
        finally:
            partial.close(remove=True)
        return made


def _floor(output: OutputError, final: float) -> float:
    """The error, relative, that is no fault: what PyTorch itself makes of that output, at least a rounding.

    Tensors are told apart by the geometric mean of this and of ``final``, the error to be explained.
    """
    precision = output.precision
    rounding = EIGHT_BITS if precision in EIGHT.values() else rounding_floor(precision, 1.0)
    own = output.relative / output.ratio if math.isfinite(output.relative) and output.ratio > 0 else 0.0
    return min(max(rounding, own), final / 2)
