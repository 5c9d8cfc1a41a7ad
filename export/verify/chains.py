"""The steps from the captured graph to each variant that is written: which model each stage made, and what runs it.

    fp32    capture -> recognise -> lower [-> engine]
    fp16    capture -> recognise -> lower -> typed [-> engine]

What verification runs anyway (the lowered model, the typed one under emulation, the engine) is not run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import onnx

from ...runtime.bundle.attribution import short_type
from ...runtime.bundle.stage import Stage
from ..lower import LoweringResult
from ..recognise import Recognised
from ..reference.original import Precision
from .trail import Trail

if TYPE_CHECKING:
    from ..capture import Captured
    from .variant import Variant


@dataclass(frozen=True)
class ChainStep:
    """One stage's result. ``model``: None where it cannot be looked into; ``variant``: which variant of verification runs it."""

    stage: Stage
    precision: Precision
    model: onnx.ModelProto | None
    variant: int | None = None

    @property
    def label(self) -> str:
        """The stage's name on the console: ``lower``, ``fp16``."""
        return self.stage.label(short_type(self.precision))


@dataclass(frozen=True)
class Chain:
    """The steps to one variant, whose name and index among the variants these are."""

    name: str
    variant: int
    steps: tuple[ChainStep, ...]


@dataclass(frozen=True)
class StageModels:
    """What the stages of one export have made. ``typed_source`` is the FP32 graph that ``typed`` was converted from."""

    captured: Captured
    recognised: Recognised
    lowered: LoweringResult
    typed_source: LoweringResult | None = None
    typed: onnx.ModelProto | None = None

    @cached_property
    def trail(self) -> Trail:
        """Where the nodes of any of the models came from."""
        trail = Trail(self.captured.origins)
        trail.recognised(self.recognised)
        for result in (self.lowered, self.typed_source):
            if result is not None:
                trail.lowered(result.applied)
        return trail

    def chains(self, variants: Sequence[Variant]) -> tuple[Chain, ...]:
        """A chain for each variant that is a step of one: ``Variant.step`` says which."""
        at = {(variant.step, variant.precision): i for i, variant in enumerate(variants) if variant.step}
        start = (
            ChainStep(Stage.CAPTURE, "float32", self.captured.model),
            ChainStep(Stage.RECOGNISE, "float32", self.recognised.model),
        )
        found = []
        for (step, precision), i in at.items():
            if precision == "float32":
                steps = [
                    *start,
                    ChainStep(Stage.LOWER, "float32", self.lowered.model, at.get((Stage.LOWER, "float32"))),
                ]
            else:
                half = self.typed_source or self.lowered
                run = at.get((Stage.LOWER, "float32")) if half is self.lowered else None
                steps = [*start, ChainStep(Stage.LOWER, "float32", half.model, run)]
                steps.append(ChainStep(Stage.TYPED, precision, self.typed, at.get((Stage.TYPED, precision))))
            if step == Stage.ENGINE:
                steps.append(ChainStep(Stage.ENGINE, precision, None, i))
            found.append(Chain(variants[i].stage, i, tuple(steps)))
        return tuple(found)


def same_computation(a: onnx.ModelProto, b: onnx.ModelProto) -> bool:
    """Whether two models have the same nodes and weights in the same order, whatever else is noted in them."""
    if a is b:
        return True
    if len(a.graph.node) != len(b.graph.node) or len(a.graph.initializer) != len(b.graph.initializer):
        return False
    if any(x != y for x, y in zip(a.graph.node, b.graph.node, strict=True)):
        return False
    weights: Mapping[str, onnx.TensorProto] = {tensor.name: tensor for tensor in a.graph.initializer}
    return all(tensor.name in weights and weights[tensor.name] == tensor for tensor in b.graph.initializer)
