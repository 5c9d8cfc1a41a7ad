"""Outputs that fail verification, and the check for invalid outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import ParityError
from ...runtime.bundle.sections import Selection
from ...runtime.check.case_errors import free_rows
from ...runtime.check.compare import check_outputs
from ...runtime.spec import TensorSpec
from .cases import ParityCase


@dataclass(frozen=True)
class Fault:
    """An output that fails: the variant's index, the output, the message, and a case that shows the fault."""

    variant: int
    output: str
    text: str
    case: ParityCase


def invalid_output(
    specs: Sequence[TensorSpec],
    outputs: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    stage: str,
    selections: Sequence[Selection] = (),
    noise: Mapping[str, float] | None = None,
) -> tuple[str, str] | None:
    """Return the first invalid output and a message, or None.

    Invalid: missing, extra, a wrong shape or dtype, NaN, Inf, or all zeros, unless the reference is within ``noise``. The number of
    selected rows may differ.
    """
    names = [spec.name for spec in specs]
    complete = sorted(outputs) == sorted(names)
    for spec in specs:
        checked, values = ([spec], {spec.name: outputs[spec.name]}) if complete else (specs, outputs)
        try:
            check_outputs(checked, values, reference=reference, of=stage, rows=free_rows(selections), noise=noise)
        except ParityError as error:
            return next((name for name in names if name not in outputs), spec.name), str(error)
    return None
