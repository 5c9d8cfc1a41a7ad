"""The typed stage: from the lowered FP32 model to FP16, BF16, INT8 or FP8."""

from collections.abc import Sequence

import onnx

from ...errors import InputError
from ...runtime.bundle.stage import Stage
from ...runtime.inputs.samples import Samples
from ...runtime.spec import TensorSpec
from ..precision import PrecisionResult, convert, half_type
from ..quantise import format_of, quantise
from ..reference.original import Original
from ..search import Aim, ConversionSubject, SearchReport, convert_by_search
from ..source import CapturedModel
from .job import Job
from .stage_model import EIGHT, TypedModel


def to_typed(
    job: Job, model: onnx.ModelProto, captured: CapturedModel, outputs: Sequence[TensorSpec], task: str | None,
    samples: Samples | None,
) -> TypedModel:  # fmt: skip
    """Convert ``model`` to the type that the options name.

    Raises InputError if samples are given and the first input is a scalar, and what conversion and quantising raise.
    """
    samples = fitting(samples, captured.inputs)
    if job.options.model_type in EIGHT:
        return _to_eight_bits(job, model, captured, task, samples)
    return _to_sixteen_bits(job, model, captured, outputs, task, samples)


def fitting(samples: Samples | None, inputs: Sequence[TensorSpec]) -> Samples | None:
    """Return the samples, which are stacked along the first axis of the first input. Raises InputError if it has no axis."""
    if samples is not None and not inputs[0].axes:
        raise InputError(
            f"input {inputs[0].name!r} is a scalar, so samples cannot be stacked along an axis", "leave out --samples"
        )
    return samples


def _to_sixteen_bits(
    job: Job, model: onnx.ModelProto, captured: CapturedModel, outputs: Sequence[TensorSpec], task: str | None,
    samples: Samples | None,
) -> TypedModel:  # fmt: skip
    """The FP32 nodes are chosen by the rules, or by a search with ``--precision auto``."""
    options, keep_io = job.options, job.options.io_precision == "fp32"
    if not options.searches:
        converted = convert(model, keep_io=keep_io, precision=half_type(options.precision).name)
        return _typed(job, converted, captured.original)
    aim = Aim(options.precision_target or min(1.5, options.gate), options.gate, options.precision_time)
    logits = outputs[0].name if task == "classification" and len(outputs[0].axes) == 2 else None
    subject = ConversionSubject(captured.original, captured.inputs, samples, logits, options.seed)
    result, report = convert_by_search(model, subject, outputs, aim, job.reporter, keep_io=keep_io)
    job.note(report.text)
    return _typed(job, result, captured.original, report)


def _to_eight_bits(
    job: Job, model: onnx.ModelProto, captured: CapturedModel, task: str | None, samples: Samples | None
) -> TypedModel:
    """Quantise the model; the original of the result also evaluates PyTorch's model in the same 8-bit format."""
    options, original = job.options, captured.original
    kind = format_of(options.precision)
    logits = captured.output_names[0] if task == "classification" else None
    subject = ConversionSubject(original, captured.inputs, samples, logits, options.seed)
    origins, choice = captured.captured.origins, options.calibration
    quantised = quantise(model, kind, subject, origins, job.reporter, gate=options.gate, calibration=choice)
    for text in quantised.summary:
        job.note(text)
    return _typed(job, quantised.result, original.with_precision(EIGHT[kind.name], quantised.torch))


def _typed(job: Job, result: PrecisionResult, original: Original, search: SearchReport | None = None) -> TypedModel:
    model_type = job.options.model_type
    return TypedModel(Stage.TYPED, result.model, model_type, result=result, original=original, search=search)
