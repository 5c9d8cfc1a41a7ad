"""The contents of a bundle, arranged for printing or for a page."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bundle.attribution import Attribution
from ..bundle.bundle import StoredBundle
from ..bundle.codec import encode_fields
from ..bundle.figures import ParityRecord
from ..bundle.manifest import Manifest, joined
from ..bundle.sections import DecodeAgreement, EngineRecord, GraphRewriteRecord, RewriteRecord
from ..open.engine_memory import EngineMemory, memory_of
from .result_text import headline


@dataclass(frozen=True)
class FileRow:
    """One file of the bundle."""

    path: str
    role: str
    bytes: int


@dataclass(frozen=True)
class RewriteRow:
    """Nodes of one operator with the same lowering for the same reasons.

    ``nodes`` are their names, ``modules`` their origins, ``found`` what was recognised, ``model``
    the file. ``refused`` are the other lowerings, as ``(name, reason)``; ``lowering`` is None if
    none was applied.
    """

    op: str
    lowering: str | None
    targets: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    nodes: tuple[str, ...]
    modules: tuple[str, ...]
    model: str
    found: str
    milliseconds: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class GraphRewriteRow:
    """Nodes that one rule rewrote before lowering, or refused to rewrite for one ``reason`` (empty if applied)."""

    stage: str
    rule: str
    applied: bool
    reason: str
    nodes: tuple[str, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True)
class OperatorRow:
    """The number of an operator's nodes in each model, in the order of ``Inspection.models``."""

    op: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class KeptRow:
    """Nodes that stay FP32 in the FP16 model for the same reason."""

    reason: str
    nodes: tuple[str, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True)
class EngineRow:
    """One engine; ``layers`` as the engine inspector lists them, ``memory`` None if its build did not report it."""

    file: str
    library: str
    precision: str
    compute_capability: str | None
    bytes: int
    seconds: float
    profiles: tuple[dict[str, Any], ...]
    memory: EngineMemory | None
    layers: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class ParityRow:
    """One output of one stage: its error and PyTorch's over the same inputs, the gate's ratio and verdict, the metric in words."""

    stage: str
    file: str
    output: str
    rms: float
    relative: float
    cosine: float
    torch_rms: float
    ratio: float
    factor: float
    passed: bool
    verdict: str
    top1: float | None
    result: str


@dataclass(frozen=True)
class Inspection:
    """The sections of ``attnexport inspect``.

    ``facts`` are ``(name, value)`` pairs; ``models`` are the columns of the operator table.
    """

    bundle: str
    facts: tuple[tuple[str, str], ...]
    files: tuple[FileRow, ...]
    stages: tuple[tuple[str, float, str], ...]
    rewrites: tuple[RewriteRow, ...]
    graph_rewrites: tuple[GraphRewriteRow, ...]
    models: tuple[str, ...]
    operators: tuple[OperatorRow, ...]
    kept: tuple[KeptRow, ...]
    precision_counts: dict[str, int]
    engines: tuple[EngineRow, ...]
    parity: tuple[ParityRow, ...]
    attribution: tuple[Attribution, ...]
    decode: tuple[DecodeAgreement, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return encode_fields(self)


def inspect(path: str | Path) -> Inspection:
    """Arrange a bundle's manifest and those of its parts. Raise BundleError for a damaged bundle."""
    bundle = StoredBundle.open(path)
    bundle.verify_files()
    return arrange(str(path), bundle.manifest, {name: bundle.part(name).manifest for name in bundle.manifest.parts})


def arrange(bundle: str, manifest: Manifest, parts: Mapping[str, Manifest]) -> Inspection:
    """Arrange a manifest and those of its parts, by name; ``bundle`` is the name for the output."""
    if parts:
        manifest = joined(manifest, parts)
    models = tuple(manifest.operators)
    return Inspection(
        bundle=bundle,
        facts=(*_facts(manifest), *_decode_facts(manifest, parts)),
        files=tuple(FileRow(name, record.role, record.bytes) for name, record in manifest.files.items()),
        stages=tuple((s.name, s.seconds, s.text) for s in manifest.stages),
        rewrites=_rewrites(manifest),
        graph_rewrites=_graph_rewrites(manifest),
        models=models,
        operators=_operators(manifest, models),
        kept=_kept(manifest),
        precision_counts=manifest.precision.counts,
        engines=tuple(_engine(record) for record in manifest.engines),
        parity=tuple(_parity(record) for record in manifest.parity),
        attribution=manifest.attribution,
        decode=manifest.decode.parity if manifest.decode is not None else (),
        notes=manifest.notes,
    )


def _engine(e: EngineRecord) -> EngineRow:
    return EngineRow(
        e.file, f"{e.flavour} {e.version}", e.precision, e.compute_capability, e.bytes, e.seconds, e.profiles, memory_of(e),
        e.layers,
    )  # fmt: skip


def _parity(r: ParityRecord) -> ParityRow:
    top1 = r.detail.get("top1")
    agreement = top1.get("agreement") if isinstance(top1, dict) else None
    return ParityRow(
        stage=r.stage,
        file=r.file,
        output=r.output,
        rms=r.gate.rms,
        relative=r.gate.relative,
        cosine=r.gate.cosine,
        torch_rms=r.gate.torch_rms,
        ratio=r.gate.ratio,
        factor=r.gate.factor,
        passed=r.gate.passed,
        verdict=r.gate.verdict,
        top1=float(agreement) if isinstance(agreement, int | float) else None,
        result=headline(r.detail, r.agreement),
    )


def _facts(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    source, gpu = manifest.source, manifest.gpu
    arch = f", {source.arch}" if source.arch else ""
    return (
        ("name", manifest.name),
        ("created", manifest.created),
        ("source", f"{source.file} ({source.kind}{arch}), sha256 {source.sha256[:12]}…"),
        *((f"input {i}", spec.describe()) for i, spec in enumerate(manifest.inputs)),
        *((f"output {i}", spec.describe()) for i, spec in enumerate(manifest.outputs)),
        ("task", manifest.task or "not given"),
        *((("precision", manifest.precision.search.text),) if manifest.precision.search is not None else ()),
        ("samples", _samples(manifest)),
        ("gpu", f"{gpu.name}, compute capability {gpu.compute_capability}" if gpu else "none"),
        *((tool, version) for tool, version in manifest.tools.items()),
    )


def _samples(manifest: Manifest) -> str:
    samples = manifest.samples
    if samples is None:
        return "none: parity was verified on random inputs only"
    images = "".join(f", {name} {value}" for name, value in samples.images.items() if name != "classes")
    return f"{samples.count} of {samples.source}{', with labels' if samples.labels else ''}{images}"


def _decode_facts(manifest: Manifest, parts: Mapping[str, Manifest]) -> tuple[tuple[str, str], ...]:
    facts = manifest.decode
    if facts is None:
        return ()
    rows = {name: part.inputs[0].axes[0] for name, part in parts.items() if part.inputs and part.inputs[0].axes}
    return (
        ("tokens", f"start {facts.start}, end {facts.end}, padding {facts.padding}, {facts.limit} at most in a row"),
        ("memory", ", ".join(facts.memory)),
        ("state", ", ".join(f"{name} <- {output}" for name, output in facts.state.items())),
        *((f"rows of {name}", f"{axis.min} to {axis.max}") for name, axis in rows.items()),
        ("decoded", f"{facts.sources} sources; a beam of W runs the step on W rows for each of them"),
    )


def _rewrites(manifest: Manifest) -> tuple[RewriteRow, ...]:
    groups = _grouped(
        (
            (r.op, r.lowering, r.targets, tuple(r.refused.items()), r.model, r.found, tuple(r.milliseconds.items())),
            r.node,
            _at(r),
        )
        for r in manifest.rewrites
    )
    return tuple(
        RewriteRow(op, lowering, targets, refused, nodes, modules, model, pattern, times)
        for (op, lowering, targets, refused, model, pattern, times), nodes, modules in groups
    )


def _graph_rewrites(manifest: Manifest) -> tuple[GraphRewriteRow, ...]:
    groups = _grouped(
        ((str(r.stage), r.rule, r.applied, "" if r.applied else r.text), r.node, _at(r))
        for r in manifest.graph_rewrites
    )
    return tuple(
        GraphRewriteRow(stage, rule, applied, reason, nodes, modules)
        for (stage, rule, applied, reason), nodes, modules in groups
    )


def _at(record: RewriteRecord | GraphRewriteRecord) -> str:
    return f"{record.module or '<root>'} at {record.source}" if record.source else record.module or "<root>"


def _grouped(entries: Iterable[tuple[Any, str, str]]) -> list[tuple[Any, tuple[str, ...], tuple[str, ...]]]:
    """The nodes and the distinct modules of ``(key, node, module)`` by key, in the order of their first entries."""
    groups: dict[Any, list[tuple[str, str]]] = {}
    for key, node, module in entries:
        groups.setdefault(key, []).append((node, module))
    return [(key, tuple(n for n, _ in rows), tuple(dict.fromkeys(m for _, m in rows))) for key, rows in groups.items()]


def _operators(manifest: Manifest, models: tuple[str, ...]) -> tuple[OperatorRow, ...]:
    total: Counter[str] = Counter()
    for counts in manifest.operators.values():
        total.update(counts)
    ordered = sorted(total, key=lambda op: (-total[op], op))
    return tuple(OperatorRow(op, tuple(manifest.operators[m].get(op, 0) for m in models)) for op in ordered)


def _kept(manifest: Manifest) -> tuple[KeptRow, ...]:
    groups = _grouped((kept.reason, kept.node, kept.module or "<root>") for kept in manifest.precision.kept)
    return tuple(KeptRow(*group) for group in groups)
