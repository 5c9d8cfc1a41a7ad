"""The bars that the work was set, against what was measured: said, never asserted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attnexport.benchmarks.local_attention_measure import geometric_mean
from attnexport.benchmarks.local_attention_row import COMPILE, EAGER, PLAIN, Row

DOT = ("dot", "dot-einsum")
"""Families that the bar on the dot product speaks of; dilated, strided and wider windows are families of their own."""


@dataclass(frozen=True)
class Bar:
    """One bar: what it asks, what was measured (None where nothing of it was), and whether it is reached."""

    what: str
    asked: float
    measured: float | None
    at_least: bool = True
    unit: str = "x"

    @property
    def reached(self) -> bool | None:
        """None where nothing was measured."""
        if self.measured is None:
            return None
        return self.measured >= self.asked if self.at_least else self.measured <= self.asked

    def __str__(self) -> str:
        verdict = {True: "reached", False: "NOT reached", None: "not measured"}[self.reached]
        measured = "-" if self.measured is None else f"{self.measured:.2f}{self.unit}"
        side = "at least" if self.at_least else "at most"
        return f"{self.what}: {measured} ({side} {self.asked:g}{self.unit}): {verdict}"


def bars(rows: Sequence[Row]) -> list[Bar]:
    """Each bar of the suite over the rows that it speaks of."""
    plain = [row.ratios[PLAIN].value for row in rows]
    seven = [row.ratios[PLAIN].value for row in rows if row.family in DOT and row.kernel == 7]
    engines = [engine.good for row in rows for engine in row.engines.values()]
    memory = [row.memory_ratio for row in rows if row.memory_ratio is not None]
    return [
        Bar("plain export, geometric mean", 6, geometric_mean(plain)),
        Bar("plain export, dot product with k=7, slowest layer", 8, min(seven, default=None)),
        Bar("plain export, slowest layer", 1.3, min(plain, default=None)),
        Bar("torch eager, geometric mean", 4, mean_over(rows, EAGER)),
        Bar("torch.compile, geometric mean", 1.3, mean_over(rows, COMPILE)),
        Bar("peak memory with k=7 over the plain export's, largest", 0.35, max(memory, default=None), at_least=False),
        Bar("TensorRT-RTX engines that build and gather no windows", 100, _percent(engines), unit=" %"),
    ]


def _percent(good: Sequence[bool]) -> float | None:
    return 100 * sum(good) / len(good) if good else None


def mean_over(rows: Sequence[Row], other: str) -> float | None:
    """The geometric mean of how much faster attnexport is than ``other``, over the layers that ``other`` ran."""
    return geometric_mean([row.ratios[other].value for row in rows if other in row.ratios])
