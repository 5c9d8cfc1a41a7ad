"""The INT8 and FP8 stage of one export: what the user asked for, handed to the quantiser, and PyTorch's own 8-bit error beside it."""

from __future__ import annotations

from collections.abc import Callable

from onnx import ModelProto

from ...runtime.inputs.samples import Samples
from ..options import ExportOptions
from ..precision import PrecisionResult
from ..progress import Reporter
from ..quantise import format_of, quantise
from ..quantise.torch_error import own_error
from ..reference.original import Original, Precision
from ..source import CapturedModel

EIGHT: dict[str, Precision] = {"int8": "int8+float16", "fp8": "fp8+float16"}
"""PyTorch's own precision by ``--precision``."""


def to_eight_bits(
    model: ModelProto,
    options: ExportOptions,
    entered: CapturedModel,
    task: str | None,
    samples: Samples | None,
    reporter: Reporter,
    note: Callable[[str], None],
) -> tuple[PrecisionResult, Original]:
    """Return a float32 model in 8 bits, and the original that also evaluates PyTorch's 8-bit model.

    Raises what :func:`~..quantise.stage.quantise` raises.
    """
    kind = format_of(options.precision)
    original = entered.original
    made = quantise(
        model, kind, original, lambda feeds, left: own_error(original, kind, feeds, left), entered.inputs, samples,
        entered.captured.origins, reporter, factor=options.gate, seed=options.seed,
        logits=entered.output_names[0] if task == "classification" else None, method=options.calibration,
    )  # fmt: skip
    for text in made.summary:
        note(text)
    return made.result, original.with_precision(EIGHT[kind.name], made.own)
