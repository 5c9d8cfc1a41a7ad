"""All generated cases, by family."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attnexport.benchmarks.reference_sweep import (
    attention,
    control_flow,
    convolution,
    elementwise,
    indexing,
    normalisation,
    pooling,
    quantised,
    recurrent,
    reduction,
    sampling,
    sequences,
    shaping,
    signal,
)
from attnexport.benchmarks.reference_sweep.case import Case

FAMILIES: dict[str, Callable[[], Iterator[Case]]] = {
    module.__name__.rpartition(".")[2]: module.cases
    for module in (
        *(attention, control_flow, convolution, elementwise, indexing, normalisation, pooling),
        *(quantised, recurrent, reduction, sampling, sequences, shaping, signal),
    )
}


def generated() -> Iterator[Case]:
    """Every case once, family by family."""
    seen = set()
    for family in FAMILIES.values():
        for case in family():
            if case.key not in seen:
                seen.add(case.key)
                yield case
