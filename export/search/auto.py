"""``--precision auto`` for one export: collect the evidence, search, and convert the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from onnx import ModelProto

from ...runtime.spec import TensorSpec
from ..precision import PrecisionResult, convert
from ..precision.policy import Decision
from ..progress import Reporter
from .conversion_subject import ConversionSubject
from .driver import Aim, search
from .evidence import Evidence
from .feeds import build_inputs
from .verdict import SearchReport


def convert_by_search(
    model: ModelProto,
    subject: ConversionSubject,
    outputs: Sequence[TensorSpec],
    aim: Aim,
    reporter: Reporter,
    *,
    keep_io: bool = True,
) -> tuple[PrecisionResult, SearchReport]:
    """Return the FP16 model of a float32 model of standard operators, with the search's report.

    The original of ``subject`` gives the reference and PyTorch's FP16 error, on samples and on random inputs. The
    search itself uses float32 inputs and outputs. Raises InputError and StageError as ``convert`` and ``search`` do.
    """
    inputs = build_inputs(subject.inputs, outputs, subject.samples, subject.seed)

    def typed(keep: Collection[str]) -> ModelProto:
        return convert(model, decisions=[Decision(name, "search", "", "measured") for name in keep]).model

    outcome = search(
        model,
        typed,
        Evidence.of(subject.original, inputs.calibration, subject.logits),
        lambda: Evidence.of(subject.original, inputs.held_out, subject.logits),
        aim,
        reporter,
    )
    return convert(model, keep_io=keep_io, decisions=outcome.decisions), outcome.report
