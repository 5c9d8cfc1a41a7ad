"""The manifest of one export: what each stage found, put into the sections that the bundle keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime, timezone
from pathlib import Path

import onnx

from ...runtime.bundle.manifest import Manifest
from ...runtime.bundle.sections import (
    AttentionRecord,
    EngineRecord,
    Gpu,
    KeptNode,
    RewriteRecord,
    SamplesRecord,
    SearchRecord,
    SourceRecord,
    StageRecord,
)
from ...runtime.bundle.sections import Precision as PrecisionSection
from ...runtime.inputs.samples import Samples
from ...runtime.spec import TensorSpec
from ...version import __version__
from ..graph.origin import Origins, origin_of
from ..lower import Applied
from ..precision import PrecisionResult
from ..progress import StageRun
from ..recognise import Recognised
from ..search import SearchReport
from ..source import Source
from ..verify.verify import Verification

PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "onnx-graphsurgeon", "onnxruntime", "onnxruntime-gpu", "numpy")


def tool_versions() -> dict[str, str]:
    """The versions of attnexport and of the packages that made the bundle."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"attnexport": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """How many nodes of each operator a graph holds, the most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())


def rewrites(
    applied: Sequence[Applied], recognised: Recognised, file: str, origins: Origins
) -> tuple[RewriteRecord, ...]:
    """What became of each domain operator in the model ``file``, with the module and line that it came from."""
    found = {entry.node: entry for entry in recognised.found}
    left = {entry.node: entry.reason for entry in recognised.refused}
    records = []
    for item in applied:
        entry = found.get(item.node)
        # What was put in by recognising is named after one of the nodes that it stands for.
        names = (item.node, *(entry.consumed if entry is not None else ()))
        origin = next((o for o in (origin_of(name, origins) for name in names) if o is not None), None)
        refused = dict(item.refused) | ({"recognise": left[item.node]} if item.node in left else {})
        records.append(
            RewriteRecord(
                node=item.node,
                op=item.op,
                lowering=item.lowering,
                targets=tuple(item.targets),
                refused=refused,
                module=origin.module if origin else "",
                source=origin.source if origin else "",
                model=file,
                found=entry.description if entry is not None else "",
                milliseconds=dict(item.milliseconds),
            )
        )
    return tuple(records)


def precision(result: PrecisionResult | None, origins: Origins, search: SearchReport | None = None) -> PrecisionSection:
    """The nodes kept in FP32, by module, with the reason of each, and how a search found them."""
    if result is None:
        return PrecisionSection()
    kept = []
    for decision in result.decisions:
        origin = origin_of(decision.node, origins)
        kept.append(KeptNode(decision.node, origin.module if origin else "", f"{decision.rule}: {decision.reason}"))
    counts = result.counts
    quantised = {"quantised": counts.quantised} if counts.quantised else {}
    return PrecisionSection(
        tuple(kept),
        {**quantised, result.half: counts.half_nodes, "float32": counts.fp32_nodes, "casts": counts.casts},
        None if search is None else _search(search),
    )


def _search(report: SearchReport) -> SearchRecord:
    names = [field.name for field in fields(SearchRecord)]
    return SearchRecord(**{name: getattr(report, name) for name in names})


def samples(loaded: Samples | None, path: Path | None) -> SamplesRecord | None:
    """What parity was proved on beside random inputs; the name of the file alone, no path of this machine."""
    if loaded is None or path is None:
        return None
    return SamplesRecord(path.name, loaded.count, loaded.labels is not None, loaded.images)


def manifest(
    source: Source,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    task: str | None,
    gpu: tuple[str, str] | None,
    runs: Sequence[StageRun],
    rewritten: tuple[RewriteRecord, ...],
    counts: dict[str, dict[str, int]],
    kept: PrecisionSection,
    engines: Sequence[EngineRecord],
    verification: Verification,
    attention: Sequence[AttentionRecord],
    notes: Sequence[str],
    proved_on: SamplesRecord | None = None,
) -> Manifest:
    """The whole manifest; the writer adds the files."""
    return replace(
        base(source, inputs, outputs, task, gpu, runs, notes),
        rewrites=rewritten,
        operators=counts,
        precision=kept,
        engines=tuple(engines),
        parity=tuple(verification.records),
        attribution=tuple(verification.attribution),
        attention=tuple(attention),
        samples=proved_on,
    )


def base(
    source: Source,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    task: str | None,
    gpu: tuple[str, str] | None,
    runs: Sequence[StageRun],
    notes: Sequence[str],
) -> Manifest:
    """A manifest with what every bundle says, whatever it holds."""
    return Manifest(
        name=source.name,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        source=SourceRecord(
            kind=source.kind,
            file=source.path.name if source.path is not None else "",
            sha256=source.sha256 or "",
            arch=source.arch,
            notes=tuple(source.notes),
        ),
        tools=tool_versions(),
        gpu=Gpu(*gpu) if gpu is not None else None,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        task=task,
        stages=tuple(StageRecord(r.name, round(r.seconds, 3), {"text": r.detail, **r.facts}) for r in runs),
        notes=tuple(notes),
    )
