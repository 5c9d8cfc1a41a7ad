"""An output that fails, and when one is wrong in kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import ParityError
from ...runtime.check.compare import check_outputs
from ...runtime.spec import TensorSpec
from .cases import ParityCase


@dataclass(frozen=True)
class Fault:
    """An output of a variant (its index) that fails, in words, and a case that shows it."""

    variant: int
    output: str
    text: str
    case: ParityCase


def invalid_output(
    outputs: Sequence[TensorSpec], got: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], of: str
) -> tuple[str, str] | None:
    """The first output that is wrong in kind (missing, extra, shape, dtype, NaN, Inf, all zeros) and how; None if none is."""
    names = [spec.name for spec in outputs]
    complete = sorted(got) == sorted(names)
    for spec in outputs:
        checked, values = ([spec], {spec.name: got[spec.name]}) if complete else (outputs, got)
        try:
            check_outputs(checked, values, reference=reference, of=of)
        except ParityError as error:
            return next((n for n in names if n not in got), spec.name), str(error)
    return None
