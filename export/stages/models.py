"""The models of an export, one stage after the other. Export, debug and scan all take them from :func:`models`.

A model is yielded once and not kept here, so a consumer that drops it before the next one frees its memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import onnx

from ...runtime.bundle.stage import Stage
from ...runtime.inputs.samples import Samples
from ..precision import half_type
from ..source import CapturedModel, Source
from .entry import enter
from .files import EIGHT
from .job import Job
from .outputs import output_specs
from .rewrite import Plan, lower_for, rewrite_stages
from .stage_model import LoweredModel, RecognisedModel, StageModel, TypedModel
from .typed import to_typed


def capture(job: Job, source: Source) -> CapturedModel:
    """Run the capture stage. Raises what :func:`~.entry.enter` raises."""
    options = job.options
    with job.stages.run(Stage.CAPTURE) as stage:
        captured = enter(source, options.outputs, options.seed, job.reporter, attention=options.attention)
        for text in captured.captured.notes:
            job.note(text)
        operators = ", ".join(f"{count} {op}" for op, count in captured.captured.kept.items())
        verb = "raised" if source.kind == "onnx" else "kept whole"
        stage.detail = f"{len(captured.captured.model.graph.node)} nodes" + (
            f", {verb}: {operators}" if operators else ""
        )
    return captured


def models(job: Job, captured: CapturedModel, task: str | None, samples: Samples | None) -> Iterator[StageModel]:
    """Yield the models of capture, simplify, raise, recognise, lower and typed, each with its report.

    The lowered model for FP32 comes first. If the typed model needs another lowering, that one follows it, and its
    ``model_type`` is the type. ``task`` and ``samples`` are for the typed stage. Raises what the stages raise.
    """
    options, model_type = job.options, job.options.model_type
    yield StageModel(Stage.CAPTURE, captured.captured.model)
    captured, graph = _without_model(captured), captured.captured.model
    rewrites = rewrite_stages(job.stages, graph, captured.captured)
    del graph
    for step in rewrites:
        recognised = step.recognised if isinstance(step, RecognisedModel) else None
        yield step
        del step
    assert recognised is not None
    with job.stages.run(Stage.LOWER) as stage:
        plan = Plan.of(options.target, job.flavour, model_type)
        lowered, typed_source = lower_for(recognised, plan, captured.inputs, options.tune, job.reporter)
        stage.detail = f"{len(lowered.model.graph.node)} standard nodes, {len(lowered.applied)} rewrites"
    del recognised
    outputs = output_specs(captured, lowered.model, options.seed)
    same = typed_source is lowered
    yield LoweredModel(Stage.LOWER, lowered.model, lowered=lowered, outputs=outputs)
    del lowered
    if typed_source is None:
        return
    if not same:
        yield LoweredModel(Stage.LOWER, typed_source.model, model_type, lowered=typed_source, outputs=outputs)
    with job.stages.run(Stage.TYPED, model_type) as stage:
        typed = to_typed(job, typed_source.model, captured, outputs, task, samples)
        for text in typed.result.warnings:
            job.note(text)
        counts = typed.result.counts
        layers = f"{counts.quantised} layers in {model_type.upper()}, " if model_type in EIGHT else ""
        half = half_type("bf16" if model_type == "bf16" else "fp16").title
        stage.detail = (
            f"{layers}{counts.half_nodes} nodes in {half}, {counts.fp32_nodes} kept in FP32, {counts.casts} casts"
        )
    del typed_source
    yield TypedModel(
        Stage.TYPED, typed.result.model, model_type, result=typed.result, original=typed.original, search=typed.search
    )


def _without_model(captured: CapturedModel) -> CapturedModel:
    """Drop the graph, so that it can be freed."""
    return replace(captured, captured=replace(captured.captured, model=onnx.ModelProto()))
