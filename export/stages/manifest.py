"""The manifest of one export, from the results of its stages."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

import onnx

from ...runtime.bundle import sections
from ...runtime.bundle.manifest import Manifest
from ...runtime.bundle.stage import Stage
from ...runtime.cuda import cuda_device
from ...runtime.inputs.samples import Samples
from ...version import __version__
from ..graph.origin import Origins, origin_of
from ..lower import Applied
from ..precision import PrecisionResult
from ..progress import StageRun
from ..recognise import Recognised
from ..search import SearchReport
from ..source import Source
from .build import BuiltModels
from .job import Job
from .stage_model import FP32, TYPED, StageModel
from .verification import VerifiedModels

PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "onnx-graphsurgeon", "onnxruntime", "onnxruntime-gpu", "numpy")


def tool_versions() -> dict[str, str]:
    """The versions of attnexport and of the packages that wrote the bundle."""
    versions = {"attnexport": __version__}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def describe(
    job: Job, source: Source, built: BuiltModels, engines: Sequence[sections.EngineRecord], verified: VerifiedModels,
    samples: Samples | None,
) -> Manifest:  # fmt: skip
    """Return the whole manifest; the writer adds the files."""
    captured, verification = built.captured, verified.verification
    origins = captured.captured.origins
    typed = built.typed
    counts = {FP32: _operators(built.lowered[0].model)}
    if typed is not None:
        counts[TYPED[typed.model_type]] = _operators(typed.model)
    rewritten = [
        record
        for step in built.lowered
        for record in rewrites(
            step.lowered.applied, built.recognised.recognised, TYPED.get(step.model_type, FP32), origins
        )
    ]
    return replace(
        base(source, job.stages.records, (*job.notes, *verification.failures)),
        inputs=captured.inputs, outputs=built.outputs, task=source.task, rewrites=tuple(rewritten),
        graph_rewrites=tuple(record for step in built.rewrites for record in _graph_rewrites(step, origins)),
        operators=counts, captured=_operators(captured.captured.model),
        precision=precision(typed.result, origins, typed.search) if typed is not None else sections.Precision(),
        engines=tuple(engines), parity=tuple(verification.records), selections=verified.selections,
        attribution=tuple(verification.attribution),
        modules=verified.modules, attention=captured.attention, samples=_samples(job, samples),
    )  # fmt: skip


def base(source: Source, runs: Sequence[StageRun], notes: Sequence[str]) -> Manifest:
    """Return a manifest with the sections that every bundle has, without a graph."""
    gpu = cuda_device()
    file = source.path.name if source.path is not None else ""
    records = (sections.StageRecord(Stage(r.stage), round(r.seconds, 3), r.detail, r.model_type, r.part) for r in runs)
    return Manifest(
        name=source.name, created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        source=sections.SourceRecord(source.kind, file, source.sha256 or "", source.arch, tuple(source.notes)),
        tools=tool_versions(), gpu=sections.Gpu(*gpu) if gpu is not None else None, inputs=(), outputs=(), task=None,
        stages=tuple(records), notes=tuple(notes),
    )  # fmt: skip


def _operators(model: onnx.ModelProto) -> dict[str, int]:
    """Return the number of nodes of each operator, the most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())


def rewrites(
    applied: Sequence[Applied], recognised: Recognised, file: str, origins: Origins
) -> Iterator[sections.RewriteRecord]:
    """Yield one record for each domain operator in the model ``file``, with its module and source line."""
    attention = {entry.node: entry for entry in recognised.found}
    refused = {entry.node: {Stage.RECOGNISE.value: entry.reason} for entry in recognised.refused}
    for item in applied:
        entry = attention.get(item.node)
        # The operator that recognising inserts is named after one of the nodes that it replaces.
        names = (item.node, *(entry.consumed if entry is not None else ()))
        origin = next((o for o in (origin_of(name, origins) for name in names) if o is not None), None)
        yield sections.RewriteRecord(
            node=item.node, op=item.op, lowering=item.lowering, targets=tuple(item.targets),
            refused=dict(item.refused) | refused.get(item.node, {}), module=origin.module if origin else "",
            source=origin.source if origin else "", model=file, found=entry.description if entry is not None else "",
            milliseconds=dict(item.milliseconds), replaced=len(entry.consumed) if entry is not None else 1,
        )  # fmt: skip


def _graph_rewrites(step: StageModel, origins: Origins) -> Iterator[sections.GraphRewriteRecord]:
    """Yield one record for each rewrite that a stage before lowering applied or refused."""
    results = [(entry.rule, entry.node, True, entry.detail) for entry in step.applied]
    results += [(entry.rule, entry.node, False, entry.reason) for entry in step.refused]
    for rule, node, applied, text in results:
        origin = origin_of(node, origins)
        module, source = (origin.module, origin.source) if origin else ("", "")
        yield sections.GraphRewriteRecord(step.stage, rule, node, applied, text, module, source)


def precision(result: PrecisionResult, origins: Origins, report: SearchReport | None = None) -> sections.Precision:
    """Return the nodes that stay FP32, each with its module and reason, and the search that chose them."""
    kept = []
    for decision in result.decisions:
        origin = origin_of(decision.node, origins)
        kept.append(
            sections.KeptNode(decision.node, origin.module if origin else "", f"{decision.rule}: {decision.reason}")
        )
    counts = result.counts
    quantised = {"quantised": counts.quantised} if counts.quantised else {}
    search = None
    if report is not None:
        search = sections.SearchRecord(
            **{field.name: getattr(report, field.name) for field in fields(sections.SearchRecord)}
        )
    return sections.Precision(
        tuple(kept),
        {**quantised, result.half: counts.half_nodes, "float32": counts.fp32_nodes, "casts": counts.casts},
        search,
    )


def _samples(job: Job, samples: Samples | None) -> sections.SamplesRecord | None:
    """Return the record of the samples, with the name of the file but without its path."""
    path = job.options.samples
    if samples is None or path is None:
        return None
    return sections.SamplesRecord(path.name, samples.count, samples.labels is not None, samples.images)
