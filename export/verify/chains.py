"""The steps from the captured graph to each variant: the model of each stage, and the variant that runs it.

    fp32    capture -> recognise -> lower [-> engine]
    fp16    capture -> recognise -> lower -> typed [-> engine]

Verification already runs the lowered model, the typed model under emulation and the engine; they are not run again.
"""

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
    """The result of one stage. ``model``: None if its inner tensors cannot be read; ``variant``: index of the variant that runs it."""

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
    """The steps to one variant: its name and its index among the variants."""

    name: str
    variant: int
    steps: tuple[ChainStep, ...]


@dataclass(frozen=True)
class StageModels:
    """The models of the stages of one export. ``typed_source`` is the FP32 graph that ``typed`` was converted from."""

    captured: "Captured"
    recognised: Recognised
    lowered: LoweringResult
    typed_source: LoweringResult | None = None
    typed: onnx.ModelProto | None = None

    @cached_property
    def trail(self) -> Trail:
        """The origins of the nodes of all models."""
        trail = Trail(self.captured.origins)
        trail.recognised(self.recognised)
        for result in (self.lowered, self.typed_source):
            if result is not None:
                trail.lowered(result.applied)
        return trail

    def chains(self, variants: "Sequence[Variant]") -> tuple[Chain, ...]:
        """Return a chain for each variant that is the result of a stage (``Variant.step``)."""
        indices = {(variant.step, variant.precision): i for i, variant in enumerate(variants) if variant.step}
        start = (
            ChainStep(Stage.CAPTURE, "float32", self.captured.model),
            ChainStep(Stage.RECOGNISE, "float32", self.recognised.model),
        )
        chains = []
        for (step, precision), i in indices.items():
            if precision == "float32":
                steps = [
                    *start,
                    ChainStep(Stage.LOWER, "float32", self.lowered.model, indices.get((Stage.LOWER, "float32"))),
                ]
            else:
                source = self.typed_source or self.lowered
                run = indices.get((Stage.LOWER, "float32")) if source is self.lowered else None
                steps = [*start, ChainStep(Stage.LOWER, "float32", source.model, run)]
                steps.append(ChainStep(Stage.TYPED, precision, self.typed, indices.get((Stage.TYPED, precision))))
            if step == Stage.ENGINE:
                steps.append(ChainStep(Stage.ENGINE, precision, None, i))
            chains.append(Chain(variants[i].stage, i, tuple(steps)))
        return tuple(chains)


def same_computation(a: onnx.ModelProto, b: onnx.ModelProto) -> bool:
    """Return whether two models have the same nodes in the same order and the same weights; metadata may differ."""
    if a is b:
        return True
    if len(a.graph.node) != len(b.graph.node) or len(a.graph.initializer) != len(b.graph.initializer):
        return False
    if any(x != y for x, y in zip(a.graph.node, b.graph.node, strict=True)):
        return False
    weights: Mapping[str, onnx.TensorProto] = {tensor.name: tensor for tensor in a.graph.initializer}
    return all(tensor.name in weights and weights[tensor.name] == tensor for tensor in b.graph.initializer)
