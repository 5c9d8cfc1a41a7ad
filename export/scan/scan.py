"""The whole scan: trace, list what blocks, lower for each target, ask the matrix and the parser."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import AttnexportError, UnsupportedModelError
from ...runtime.sessions.large_model import open_model
from ...runtime.spec import TensorSpec
from ..lower import lower
from ..progress import Reporter, Stages
from ..recognise import Recognised
from ..source import CapturedModel, Source, SourceOptions, TorchSource, load
from ..stages.entry import enter
from ..stages.rewrite import engine_target, find_windows
from ..targets import NAMES, resolve
from .finding import Finding, together
from .graph import given_up, left, measured
from .parser import installed_flavour, refused


@dataclass(frozen=True)
class Scan:
    """What was found. ``recognised``: local attention by description and count; ``nodes`` is 0 where the model cannot be exported."""

    name: str
    inputs: tuple[TensorSpec, ...]
    targets: tuple[str, ...]
    nodes: int
    recognised: dict[str, int]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether every target that was asked for runs the model."""
        return not any(one.status in ("cannot", "wrong") for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return {
            "name": self.name,
            "inputs": [spec.to_json() for spec in self.inputs],
            "targets": list(self.targets),
            "nodes": self.nodes,
            "recognised": self.recognised,
            "runs": self.runs,
            "findings": [one.to_json() for one in self.findings],
            "notes": list(self.notes),
        }


def scan(model: Path | None, options: SourceOptions, targets: Collection[str], seed: int, reporter: Reporter) -> Scan:
    """Scan a model for ``targets`` (words of :func:`resolve`; none: all). Nothing is written.

    Raises InputError for what the user gave, and UnsupportedModelError where torch.export cannot trace the model at all.
    """
    names = resolve(targets) if targets else NAMES
    stages = Stages(reporter)
    with stages.run("source") as stage:
        source = load(model, options)
        stage.detail = f"{source.kind} {source.name}: {', '.join(spec.describe() for spec in source.inputs)}"
    try:
        with stages.run("trace") as stage:
            entered = enter(source, (), seed, reporter)
            stage.detail = f"{len(entered.captured.model.graph.node)} nodes"
    except UnsupportedModelError:
        found = together(_blocked(source, seed))
        if not found:
            raise
        return Scan(source.name, source.inputs, names, 0, {}, found)
    with stages.run("targets") as stage:
        recognised = find_windows(entered.captured.model)
        findings = together(_findings(entered, recognised, names))
        stage.detail = ", ".join(names)
    counts = Counter(entry.description for entry in recognised.found)
    return Scan(
        source.name, entered.inputs, names, len(entered.captured.model.graph.node), dict(counts), findings,
        entered.captured.notes,
    )  # fmt: skip


def _blocked(source: Source, seed: int) -> Iterator[Finding]:
    if not isinstance(source, TorchSource):
        return
    from .blockers import blockers

    yield from blockers(source.program(seed))


def _findings(entered: CapturedModel, recognised: Recognised, targets: tuple[str, ...]) -> Iterator[Finding]:
    origins = entered.captured.origins
    yield from left(recognised, targets, origins)
    flavour = installed_flavour()
    for target in targets:
        result = lower(recognised.model, (target,), prefer=target)
        yield from given_up(result, target, origins)
        asked = [*measured(result.model, target, origins)]
        yield from asked
        if flavour is not None and target == engine_target(flavour):
            known = {one.operator for one in asked if one.status == "cannot"}
            for one in refused(result.model, flavour, origins):
                if one.operator not in known and not (known and one.operator == "model"):
                    yield one
        if target == "ort-cpu":
            try:
                open_model(result.model).close()
            except AttnexportError as error:
                yield Finding.of("cannot", "model", [target], error.problem, None)
