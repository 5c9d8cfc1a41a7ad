"""Scan a model: capture, list the blockers, lower for each target, look up the matrix and ask the parser."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.onnx._internal.exporter import _decomp, _registration

from ...errors import AttnexportError, UnsupportedModelError
from ...runtime.bundle.codec import encode_fields
from ...runtime.bundle.stage import Stage
from ...runtime.sessions.large_model import open_model
from ...runtime.spec import TensorSpec
from ..capture.cleanup.naming import node_origin
from ..capture.complex.rewrite import without_complex
from ..capture.translations import TRANSLATIONS
from ..lower import lower
from ..options import ExportOptions
from ..progress import Reporter
from ..quiet import quiet
from ..recognise import Recognised
from ..source import CapturedModel, TorchSource, load
from ..stages.job import Job
from ..stages.models import capture, models
from ..stages.stage_model import RecognisedModel
from ..targets import engine_target, resolve, target_names, target_of
from .findings import Finding, gathered, installed_flavour, measured, refused, together, unrecognised


@dataclass(frozen=True)
class Scan:
    """The result. ``recognised``: the count of each local attention; ``nodes`` is 0 if the model cannot be exported."""

    name: str
    inputs: tuple[TensorSpec, ...]
    targets: tuple[str, ...]
    nodes: int
    recognised: dict[str, int]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether every requested target runs the model."""
        return not any(finding.status in ("cannot", "wrong") for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return {**encode_fields(self), "runs": self.runs}


def scan(options: ExportOptions, targets: Collection[str], reporter: Reporter) -> Scan:
    """Scan a model for ``targets`` (names that :func:`resolve` takes; empty: all). Nothing is written.

    Raises InputError for wrong options, and UnsupportedModelError if torch.export cannot trace the model at all.
    """
    names = resolve(targets) if targets else target_names()
    job = Job.of(options, reporter, None)
    with job.stages.run(Stage.SOURCE) as stage:
        source = load(options.model, options.source)
        stage.detail = f"{source.kind} {source.name}: {', '.join(spec.describe() for spec in source.inputs)}"
    try:
        captured = capture(job, source)
    except UnsupportedModelError:
        findings = together(blockers(source.program(options.seed)) if isinstance(source, TorchSource) else ())
        if not findings:
            raise
        return Scan(source.name, source.inputs, names, 0, {}, findings)
    steps = models(job, captured, source.task, None)
    recognised = next(step.recognised for step in steps if isinstance(step, RecognisedModel))
    with job.stages.run(Stage.LOWER) as stage:
        findings = together(_findings(captured, recognised, names))
        stage.detail = ", ".join(names)
    counts = Counter(entry.description for entry in recognised.found)
    nodes = len(captured.captured.model.graph.node)
    return Scan(source.name, captured.inputs, names, nodes, dict(counts), findings, captured.captured.notes)


def _findings(captured: CapturedModel, recognised: Recognised, targets: tuple[str, ...]) -> Iterator[Finding]:
    origins = captured.captured.origins
    yield from unrecognised(recognised, targets, origins)
    flavour = installed_flavour()
    for target in targets:
        result = lower(recognised.model, (target,), prefer=target)
        yield from gathered(result, target, origins)
        matrix = [*measured(result.model, target, origins)]
        yield from matrix
        if flavour is not None and target == engine_target(flavour.name, flavour.version[0]):
            known = {finding.operator for finding in matrix if finding.status == "cannot"}
            for finding in refused(result.model, flavour, origins):
                if finding.operator not in known and not (known and finding.operator == "model"):
                    yield finding
        if not target_of(target).gpu and target_of(target).providers:
            try:
                open_model(result.model).close()
            except AttnexportError as error:
                yield Finding.of("cannot", "model", [target], error.problem, None)


def blockers(program: torch.export.ExportedProgram) -> Iterator[Finding]:
    """Yield a finding for each call of an operator that neither torch.onnx nor attnexport translates."""
    with quiet():
        try:
            program = without_complex(program)
        except UnsupportedModelError as error:
            yield Finding.of("cannot", "complex numbers", target_names(), error.problem, None)
            return
        registry = _registration.ONNXRegistry.from_torchlib()
        for operator, function in TRANSLATIONS.items():
            registry.register_op(operator, function)
        known = set(_decomp.get_onnx_implemented_overloads(registry))
        program = program.run_decompositions(_decomp.create_onnx_friendly_decomposition_table(known))
    for node in program.graph.nodes:
        # What has no users is an assertion, which torch.onnx drops.
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload) or not node.users:
            continue
        if registry.get_decomps(node.target) or node.target.namespace in ("_operator", "prim"):
            continue
        reason = "no translation to ONNX: write this step with operators of ONNX"
        yield Finding.of("cannot", str(node.target), target_names(), reason, node_origin(node))
