"""From a captured graph to standard operators: simplify, raise windows, recognise local attention, lower.

Every model of a bundle is valid on every target, so an engine can be built from it later, on another machine. If the targets
prefer different lowerings, each model gets the one that is fast where it runs: ``model.onnx`` on ``--target`` (ONNX
Runtime's CPU provider, unless an FP32 engine is built from it), ``model.fp16.onnx`` on a GPU.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import onnx

from ...errors import InputError
from ...runtime.bundle.stage import Stage
from ...runtime.spec import TensorSpec
from ..capture import Captured
from ..engine.flavour import Flavour
from ..graph.rewrites import Refusal, Rewrite
from ..lower import EXACT, LOWERINGS, Lowering, LoweringResult, lower
from ..lower.tune import Tuner, opt_shapes
from ..progress import Reporter, Silent, Stages
from ..raising import Raised, raise_windows
from ..recognise import Recognised, recognise
from ..simplify import Simplified, simplify
from ..targets import DEFAULT_CPU, DEFAULT_GPU, engine_target, resolve, target_names, timeable_targets
from .stage_model import RecognisedModel, StageModel

_BY_MACHINE = {lowering.op for lowering in LOWERINGS if lowering.gpu_cost is not None}
"""The operators whose fastest lowering differs between a CPU and a GPU."""
_EXACT_OPS = {lowering.op for lowering in EXACT}


@dataclass(frozen=True)
class Plan:
    """The targets that each model should be fast on. ``typed_target`` is None if only an FP32 model is written."""

    fp32_target: str
    typed_target: str | None

    @classmethod
    def of(cls, target: str | None, flavour: Flavour | None, model_type: str) -> "Plan":
        """``target`` is ``--target``, ``flavour`` the TensorRT that builds the engine. Raises InputError for several targets."""
        engine = None if flavour is None else engine_target(flavour.name, flavour.version[0])
        typed = None if model_type == "fp32" else engine or DEFAULT_GPU
        if target is None:
            return cls(engine if engine is not None and typed is None else DEFAULT_CPU, typed)
        names = resolve(target)
        if len(names) > 1:
            raise InputError(f"--target {target} is {len(names)} targets", f"pass one of {', '.join(names)}")
        return cls(names[0], typed)


def rewrite_stages(stages: Stages, model: onnx.ModelProto, captured: Captured | None = None) -> Iterator[StageModel]:
    """Yield the models of simplify, raise and recognise. ``model`` is not changed.

    If ``captured`` was raised during capture, the raise stage only reports it. If no attention is recognised, the raised
    windows are undone, since a window holds all taps at once, and their rewrites are reported as refused.
    """
    with stages.run(Stage.SIMPLIFY) as stage:
        simplified = simplify(model)
        stage.detail = _counted(simplified.applied, simplified.refused)
    del model
    yield _step(Stage.SIMPLIFY, simplified)
    with stages.run(Stage.RAISE) as stage:
        already_raised = captured is not None and captured.raised is not None
        raised = Raised(simplified.model) if already_raised else raise_windows(simplified.model)
        recognised = recognise(raised.model) if raised.applied else None
        if recognised is not None and not recognised.found:
            reason = "no local attention is recognised on its windows"
            undone = (Refusal(rewrite.rule, rewrite.node, reason) for rewrite in raised.applied)
            raised, recognised = Raised(simplified.model, {}, (), (*raised.refused, *undone)), None
        step = _step(Stage.RAISE, raised)
        if captured is not None and captured.raised is not None:
            step = replace(step, applied=captured.raised, refused=captured.refused)
        stage.detail = _counted(step.applied, step.refused)
    del simplified
    yield step
    del step
    with stages.run(Stage.RECOGNISE) as stage:
        recognised = recognised or recognise(raised.model)
        counts = Counter(entry.description for entry in recognised.found)
        attention = ", ".join(f"{count} {text}" for text, count in counts.items()) or "no local attention found"
        stage.detail = attention + (f"; {len(recognised.refused)} windows not recognised" if recognised.refused else "")
    del raised
    yield RecognisedModel(Stage.RECOGNISE, recognised.model, changed=bool(recognised.found), recognised=recognised)


def _step(stage: Stage, result: Simplified | Raised) -> StageModel:
    return StageModel(stage, result.model, changed=bool(result.applied), applied=result.applied, refused=result.refused)


def _counted(applied: Sequence[Rewrite], refused: Sequence[Refusal]) -> str:
    """Return a summary such as ``2 einsum_letters, 1 masked_writes; 1 refused``."""
    counts = Counter(rewrite.rule for rewrite in applied)
    text = ", ".join(f"{count} {rule}" for rule, count in counts.items()) or "nothing to rewrite"
    return text + (f"; {len(refused)} refused" if refused else "")


def find_windows(model: onnx.ModelProto) -> Recognised:
    """Simplify, raise and recognise without a report."""
    *_, last = rewrite_stages(Stages(Silent()), model)
    assert isinstance(last, RecognisedModel)
    return last.recognised


def lower_for(
    recognised: Recognised, plan: Plan, inputs: Sequence[TensorSpec], tune: bool, reporter: Reporter
) -> tuple[LoweringResult, LoweringResult | None]:
    """Return the FP32 model and the FP32 source of the typed model: one result if both use the same lowerings.

    With ``tune``, lowerings are timed for the targets that this machine can time. Raises InputError if it can time none.
    """
    timeable = [name for name in (plan.fp32_target, plan.typed_target) if name in timeable_targets()]
    if tune and not timeable:
        raise InputError(
            f"--tune cannot time lowerings for {plan.fp32_target}",
            f"pass --target {' or '.join(timeable_targets())}, or omit --tune",
        )

    # Shapes matter only if there is a choice, and shape inference of a large model is slow.
    has_choice = recognised.found or any(node.op_type in _EXACT_OPS for node in recognised.model.graph.node)
    shapes = opt_shapes(recognised.model, inputs) if tune or has_choice else {}

    def lower_to(prefer: str, lowerings: Collection[Lowering]) -> LoweringResult:
        measure = None
        if tune and prefer in timeable_targets():
            measure = Tuner(shapes, prefer, reporter).times
        elif tune:
            reporter.note(f"--tune does not time {prefer}: its lowerings are chosen by estimate")
        return lower(recognised.model, target_names(), lowerings, prefer=prefer, measure=measure, shapes=shapes)

    fp32 = lower_to(plan.fp32_target, (*LOWERINGS, *EXACT))
    if plan.typed_target is None:
        return fp32, None
    differs = any(
        applied.op in _EXACT_OPS or (plan.typed_target != plan.fp32_target and applied.op in _BY_MACHINE)
        for applied in fp32.applied
    )
    return fp32, lower_to(plan.typed_target, LOWERINGS) if differs else fp32
