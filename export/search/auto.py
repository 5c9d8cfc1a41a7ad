"""``--precision auto`` for one export: the evidence is gathered, the search run, and the model converted as it says."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from onnx import ModelProto

from ...runtime.inputs.samples import Samples
from ...runtime.spec import TensorSpec
from ..precision import PrecisionResult, convert
from ..precision.policy import Decision
from ..progress import Reporter
from ..reference.original import Original
from .driver import Aim, search
from .evidence import Evidence
from .feeds import build_inputs
from .verdict import SearchReport


def convert_by_search(
    model: ModelProto,
    original: Original,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    samples: Samples | None,
    task: str | None,
    aim: Aim,
    reporter: Reporter,
    *,
    keep_io: bool = True,
    seed: int = 0,
) -> tuple[PrecisionResult, SearchReport]:
    """The FP16 model of a float32 model of standard operators, with what a search keeps in FP32, and its report.

    ``original`` gives the truth and PyTorch's own FP16 error on the samples and on inputs drawn to the specs. The
    search itself takes float32 inputs and outputs. Raises InputError and StageError as ``convert`` and ``search`` do.
    """
    drawn = build_inputs(inputs, outputs, samples, seed)
    logits = outputs[0].name if task == "classification" and len(outputs[0].axes) == 2 else None

    def typed(keep: Collection[str]) -> ModelProto:
        return convert(model, decisions=[Decision(name, "search", "", "measured") for name in keep]).model

    found = search(
        model,
        typed,
        Evidence.of(original, drawn.calibration, logits),
        lambda: Evidence.of(original, drawn.held_out, logits),
        aim,
        reporter,
    )
    return convert(model, keep_io=keep_io, decisions=found.decisions), found.report
