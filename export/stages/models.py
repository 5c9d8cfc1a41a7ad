"""The models of an export, one stage after the other. Export, debug and scan all take them from :func:`models`.

A model is yielded once and not kept here, so a consumer that drops it before the next one frees its memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import onnx

from ...runtime.bundle.stage import Stage
from ...runtime.inputs.feeds import random_feeds
from ...runtime.inputs.samples import Samples
from ...runtime.spec import POINTS, Axis, TensorSpec
from ..capture.tracing.trace import FixedAxisError
from ..options.inputs import BATCH
from ..precision import half_type
from ..progress import Reporter
from ..source import CapturedModel, Source
from .job import Job
from .rewrite import Plan, lower_for, rewrite_stages
from .stage_model import EIGHT, LoweredModel, RecognisedModel, StageModel
from .typed import to_typed


def enter(
    source: Source, outputs: Sequence[str], seed: int, reporter: Reporter, *, attention: bool = False
) -> CapturedModel:
    """Capture a source; see :meth:`~..source.base.Source.capture`.

    If the model fixes a batch axis that was only assumed, the axis is fixed, with a note. If the user asked for that
    axis, FixedAxisError is raised.
    """
    try:
        return source.capture(outputs, seed, attention=attention)
    except FixedAxisError as error:
        if source.explicit_dynamic:
            raise
        fixed = tuple(
            replace(s, axes=tuple(Axis.fixed(a.opt) if a.symbol == BATCH else a for a in s.axes)) for s in source.inputs
        )
        reporter.note(f"{error.problem}: exported with fixed shapes {', '.join(s.describe() for s in fixed)}")
        return replace(source, inputs=fixed).capture(outputs, seed, attention=attention)


def capture(job: Job, source: Source) -> CapturedModel:
    """Run the capture stage. Raises what :func:`~.entry.enter` raises."""
    options = job.options
    with job.stages.run(Stage.CAPTURE) as stage:
        captured = enter(source, options.outputs, options.seed, job.reporter, attention=options.attention)
        for text in captured.captured.notes:
            job.note(text)
        operators = ", ".join(f"{count} {op}" for op, count in captured.captured.kept.items())
        verb = "raised" if source.kind == "onnx" else "kept whole"
        kept = f", {verb}: {operators}" if operators else ""
        stage.detail = f"{len(captured.captured.model.graph.node)} nodes{kept}"
    return captured


def models(job: Job, captured: CapturedModel, task: str | None, samples: Samples | None) -> Iterator[StageModel]:
    """Yield the models of capture, simplify, raise, recognise, lower and typed, each with its report.

    The lowered model for FP32 comes first. If the typed model needs another lowering, that one follows it, and its
    ``model_type`` is the type. ``task`` and ``samples`` are for the typed stage. Raises what the stages raise.
    """
    options, model_type = job.options, job.options.model_type
    yield StageModel(Stage.CAPTURE, captured.captured.model)
    graph = captured.captured.model
    # Without the graph, so that it can be freed.
    captured = replace(captured, captured=replace(captured.captured, model=onnx.ModelProto()))
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
    yield typed


def output_specs(captured: CapturedModel, model: onnx.ModelProto, seed: int) -> tuple[TensorSpec, ...]:
    """Return the specs of the outputs: sizes measured on the original at the min, opt and max shapes, symbols from ``model``."""
    measured = []
    for point in POINTS:
        results = captured.original.run(random_feeds(captured.inputs, point, seed=seed), "float32")
        measured.append({name: (array.shape, str(array.dtype)) for name, array in results.items()})
    symbols = {a.symbol for s in captured.inputs for a in s.axes if a.symbol is not None}
    specs = []
    for value, name in zip(model.graph.output, captured.output_names, strict=True):
        axes = []
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            low, opt, high = (sizes[name][0][i] for sizes in measured)
            if dim.HasField("dim_value") or (low == high and dim.dim_param not in symbols):
                axes.append(Axis.fixed(opt))
            else:
                axes.append(Axis(min(low, opt, high), opt, max(low, opt, high), dim.dim_param or f"{name}_{i}"))
        specs.append(TensorSpec(name, measured[1][name][1], tuple(axes)))
    return tuple(specs)
