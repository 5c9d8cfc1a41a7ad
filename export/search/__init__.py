"""``--precision auto``: find the nodes that must stay FP32 by measuring the error of the outputs."""

from collections.abc import Collection, Sequence

from onnx import ModelProto

from ...runtime.spec import TensorSpec
from ..precision import PrecisionResult, convert
from ..precision.policy import Decision
from ..progress import Reporter
from .driver import Aim, SearchOutcome, search
from .evidence import ConversionSubject, Evidence, ReferenceRun, Score
from .feeds import Inputs, build_inputs
from .verdict import SearchReport, Verdict

__all__ = [
    "Aim",
    "ConversionSubject",
    "Evidence",
    "Inputs",
    "ReferenceRun",
    "Score",
    "SearchOutcome",
    "SearchReport",
    "Verdict",
    "build_inputs",
    "convert_by_search",
    "search",
]


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
