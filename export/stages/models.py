"""The models of an export, stage by stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import onnx

from ...errors import InputError
from ...runtime.inputs.feeds import random_feeds
from ...runtime.inputs.samples import Samples
from ...runtime.spec import POINTS, Axis, TensorSpec
from ..precision import PrecisionResult, convert, half_type
from ..recognise import Recognised
from ..reference.original import Original
from ..search import Aim, SearchReport, convert_by_search
from ..source import CapturedModel
from .job import Job

FP32 = "model.onnx"


HALF = {"fp16": "model.fp16.onnx", "bf16": "model.bf16.onnx"}
"""The 16-bit model's file by ``--precision``."""


TYPED = {**HALF, "int8": "model.int8.onnx", "fp8": "model.fp8.onnx"}
"""The file of the model that is no FP32, by ``--precision``."""


def sixteen_bits(
    job: Job,
    model: onnx.ModelProto,
    outputs: Sequence[TensorSpec],
    entered: CapturedModel,
    task: str | None,
    samples: Samples | None,
) -> tuple[PrecisionResult, SearchReport | None]:
    """The 16-bit model: with what the rules keep in FP32, or what a search does (``--precision auto``)."""
    options, keep_io = job.options, job.options.io_precision == "fp32"
    if options.precision != "auto":
        kind = half_type(options.precision).name
        return convert(model, keep_io=keep_io, precision=kind), None
    aim = Aim(options.precision_target or min(1.5, options.gate), options.gate, options.precision_time)
    made, report = convert_by_search(
        model,
        entered.original,
        entered.inputs,
        outputs,
        samples,
        task,
        aim,
        job.reporter,
        keep_io=keep_io,
        seed=options.seed,
    )
    job.note(report.text)
    return made, report


def _kept(kept: dict[str, int], how: str) -> str:
    return f", {how}: " + ", ".join(f"{n} {op}" for op, n in kept.items()) if kept else ""


def _found(recognised: Recognised) -> str:
    counts = Counter(entry.description for entry in recognised.found)
    found = ", ".join(f"{count} {what}" for what, count in counts.items()) or "no local attention"
    return found + (f"; {len(recognised.refused)} left as they are" if recognised.refused else "")


def fitting(samples: Samples | None, inputs: Sequence[TensorSpec]) -> Samples | None:
    """The samples, which lie along the first axis of the first input. Raises InputError where that has none."""
    if samples is not None and not inputs[0].axes:
        raise InputError(
            f"input {inputs[0].name!r} is a scalar, so samples have no axis to lie along", "leave out --samples"
        )
    return samples


def output_specs(entered: CapturedModel, model: onnx.ModelProto, seed: int) -> tuple[TensorSpec, ...]:
    """Names, dtypes and shapes of the outputs: measured on the original at each point, symbols from the graph."""
    measured = [_shapes(entered.original, entered.inputs, point, seed) for point in POINTS]
    symbols = {a.symbol for s in entered.inputs for a in s.axes if a.symbol is not None}
    specs = []
    for value, name in zip(model.graph.output, entered.output_names, strict=True):
        axes = []
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            low, opt, high = (point[name][0][i] for point in measured)
            if dim.HasField("dim_value") or (low == high and dim.dim_param not in symbols):
                axes.append(Axis.fixed(opt))
            else:
                axes.append(Axis(min(low, opt, high), opt, max(low, opt, high), dim.dim_param or f"{name}_{i}"))
        specs.append(TensorSpec(name, measured[1][name][1], tuple(axes)))
    return tuple(specs)


def _shapes(
    original: Original, inputs: Sequence[TensorSpec], point: Any, seed: int
) -> dict[str, tuple[tuple[int, ...], str]]:
    results = original.run(random_feeds(inputs, point, seed=seed), "float32")
    return {name: (array.shape, str(array.dtype)) for name, array in results.items()}
