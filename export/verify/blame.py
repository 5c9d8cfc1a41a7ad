"""Find the stage and the module that cause the failure of an output.

The stage: of the steps up to the first whose error is above the limit, the one that adds most to the
step before it. For an invalid output (NaN, Inf, zeros, a wrong shape): the first step that has it.
The module: where the step's graph first differs from that of the step before; see ``locate``.
"""

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
"""Operators that change only the type of their input."""
EIGHT_BITS = 2.0**-8
"""The least relative error of storage in 8 bits, whose steps depend on the range of a tensor."""


def largest_step(steps: Sequence[StepFigures], allowed: float) -> StepFigures:
    """Return the step that causes the error. ``allowed``: the largest rms error that passes. ``steps`` is not empty."""
    failed = next((i for i, step in enumerate(steps) if step.figures.rms > allowed), len(steps) - 1)
    return max(steps[: failed + 1], key=lambda step: step.added)


def find_blame(models: StageModels, chain: Chain, stage: Stage, output: str, original: Original, feeds: Feeds) -> Blame:
    """Return ``stage`` with the module and the source line that cause the error, if they can be found."""
    index = next(i for i, step in enumerate(chain.steps) if step.stage == stage)
    step = chain.steps[index]
    if step.model is None:
        return Blame(step.label)
    try:
        place = _search(models, step, chain.steps[index - 1] if index else None, output, original, feeds)
    except AttnexportError:
        return Blame(step.label)  # without inner tensors only the stage is known
    if place is None:
        return Blame(step.label)
    return blame_place(models.trail, step.label, Flow(step.model.graph), place)


def _search(
    models: StageModels, step: ChainStep, before: ChainStep | None, output: str, original: Original, feeds: Feeds
) -> Place | None:
    assert step.model is not None
    side = GraphSide(step.model, feeds, typed=step.stage is Stage.TYPED)
    expected: Side | None
    if before is None or before.model is None:
        expected = reference(original, step.model, models.captured.origins, feeds)
    else:
        expected = GraphSide(before.model, feeds)
    if expected is None:
        return None

    def compare(names: Sequence[str]) -> dict[str, float | None]:
        arrays, references = side.values(names), expected.values(names)
        return {
            name: _least([relative_error(arrays[name][0], array) for array in references.get(name, ())])
            for name in names
        }

    shared = side.names & expected.names
    return locate(Flow(step.model.graph), shared, output, compare, rounding_floor(step.precision, 1.0) or EIGHT_BITS)


def _least(errors: Sequence[float | None]) -> float | None:
    return min((error for error in errors if error is not None), default=None)


def blame_place(trail: Trail, stage: str, flow: Flow, place: Place) -> Blame:
    """Return the innermost module around all nodes since the last correct tensor, and its source line."""
    node = flow.maker[place.tensor].name
    origin = trail.origin(node)
    # The name of a cast is that of the node whose value it converts, which may lie outside of the place.
    makers = [flow.maker[name] for name in place.region]
    computing = [maker for maker in makers if maker.op_type not in RETYPING] or makers
    origins = [o for maker in computing if (o := trail.origin(maker.name)) is not None]
    module = _common([o.module for o in origins])
    if not module and any(o.module for o in origins):
        return Blame(stage)  # the error comes from several parts of the network
    detail = trail.lowering(node) if stage.startswith(Stage.LOWER) else ""
    if origin is None or module != origin.module:
        origin = next((o for o in origins if o.module == module), Origin(module, "", ""))
    return Blame(stage, module, origin.kind, origin.source, node, detail)


def _common(modules: Sequence[str]) -> str:
    """The innermost module that contains all ``modules``."""
    common: list[str] = []
    for parts in zip(*(module.split(".") for module in modules), strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)
