"""Which stage is to blame for an output that fails its gate, and which module.

The stage: of the steps up to the first whose error against the reference is beyond what is allowed, the one that adds most
to the step before it. An output that is wrong in kind (NaN, Inf, zeros, a shape) is blamed on the first step that has it.
The module: where the step's graph parts from the one before, see ``locate``.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import AttnexportError
from ...runtime.bundle.attribution import Blame, StepFigures
from ...runtime.bundle.figures import rounding_floor
from ...runtime.bundle.stage import Stage
from ..graph.origin import Origin
from ..reference.original import Original
from .chains import Chain, ChainStep, StageModels
from .graphs import Flow
from .locate import Place, locate, relative_error
from .sides import Feeds, GraphSide, Side, reference
from .trail import Trail

RETYPING = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear"})
"""Operators that give the values they are given, in another type."""
EIGHT_BITS = 2.0**-8
"""What storage in 8 bits, whose steps depend on a tensor's range, errs by at least."""


def largest_step(steps: Sequence[StepFigures], allowed: float) -> StepFigures:
    """The step whose error it is. ``allowed``: the rms error that the gate lets pass. ``steps`` is not empty."""
    over = next((i for i, step in enumerate(steps) if step.figures.rms > allowed), len(steps) - 1)
    return max(steps[: over + 1], key=lambda step: step.added)


def find_blame(made: StageModels, chain: Chain, stage: Stage, output: str, original: Original, feeds: Feeds) -> Blame:
    """``stage`` with the module and the line that its error comes in at, as far as they can be found."""
    index = next(i for i, step in enumerate(chain.steps) if step.stage == stage)
    step = chain.steps[index]
    if step.model is None:
        return Blame(step.label)
    try:
        place = _search(made, step, chain.steps[index - 1] if index else None, output, original, feeds)
    except AttnexportError:
        return Blame(step.label)  # the stage stands; a graph that cannot be run in parts names no module
    if place is None:
        return Blame(step.label)
    flow = Flow(step.model.graph)
    return blame_place(made.trail, step.label, flow, place)


def _search(
    made: StageModels, step: ChainStep, before: ChainStep | None, output: str, original: Original, feeds: Feeds
) -> Place | None:
    assert step.model is not None
    mine = GraphSide(step.model, feeds, typed=step.stage is Stage.TYPED)
    theirs: Side | None
    if before is None or before.model is None:
        theirs = reference(original, step.model, made.captured.origins, feeds)
    else:
        theirs = GraphSide(before.model, feeds)
    if theirs is None:
        return None

    def compare(names: Sequence[str]) -> dict[str, float | None]:
        got, held = mine.values(names), theirs.values(names)
        return {name: _least([relative_error(got[name][0], a) for a in held.get(name, ())]) for name in names}

    shared = mine.names & theirs.names
    return locate(Flow(step.model.graph), shared, output, compare, rounding_floor(step.precision, 1.0) or EIGHT_BITS)


def _least(errors: Sequence[float | None]) -> float | None:
    return min((error for error in errors if error is not None), default=None)


def blame_place(trail: Trail, stage: str, flow: Flow, place: Place) -> Blame:
    """The module that holds all nodes since the last tensor that was right, if one does, and the source line there."""
    node = flow.maker[place.tensor].name
    origin = trail.origin(node)
    # A cast goes by the node whose value it carries, which need not be what reads it.
    makers = [flow.maker[name] for name in place.region]
    computing = [maker for maker in makers if maker.op_type not in RETYPING] or makers
    inside = [o for maker in computing if (o := trail.origin(maker.name)) is not None]
    module = _common([o.module for o in inside])
    if not module and any(o.module for o in inside):
        return Blame(stage)  # it comes in all over the network
    detail = trail.lowering(node) if stage.startswith(Stage.LOWER) else ""
    if origin is None or module != origin.module:
        origin = next((o for o in inside if o.module == module), Origin(module, "", ""))
    return Blame(stage, module, origin.kind, origin.source, node, detail)


def _common(modules: Sequence[str]) -> str:
    """The innermost module that holds all of them."""
    common: list[str] = []
    for parts in zip(*(module.split(".") for module in modules), strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)
