"""From a captured graph to standard operators: windows raised, local attention recognised, everything lowered.

Every model of a bundle is right on every target, so that an engine can be built from it later, on another machine.
Where the targets want different forms, each model gets the form that is quick on what will run it: ``model.onnx`` on
``--target`` (ONNX Runtime's CPU provider, unless an FP32 engine is built from it), ``model.fp16.onnx`` on a GPU.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx

from ...errors import InputError
from ...runtime.spec import TensorSpec
from ..engine.flavour import Flavour
from ..lower import EXACT, LOWERINGS, Lowering, LoweringResult, lower
from ..lower.tune import PROVIDERS, Tuner, opt_shapes
from ..progress import Reporter
from ..raising import raise_windows
from ..recognise import Recognised, recognise
from ..simplify import simplify
from ..targets import NAMES, resolve

_BY_MACHINE = {form.op for form in LOWERINGS if form.gpu_cost is not None}
"""The operators whose forms a CPU and a GPU order differently."""
_EXACT_OPS = {form.op for form in EXACT}


@dataclass(frozen=True)
class Plan:
    """What each model should be quick on: names of targets. ``typed_target`` is None if only an FP32 model is written."""

    fp32_target: str
    typed_target: str | None

    @classmethod
    def of(cls, wished: str | None, flavour: Flavour | None, precision: str) -> Plan:
        """``wished`` is ``--target``; ``flavour`` the TensorRT that an engine is built with. Raises InputError unless it is one target."""
        engine = None if flavour is None else engine_target(flavour)
        half = None if precision == "fp32" else engine or "ort-cuda"
        if wished is not None:
            names = resolve(wished)
            if len(names) > 1:
                raise InputError(f"--target {wished} is {len(names)} targets", f"name one: {', '.join(names)}")
            return cls(names[0], half)
        return cls(engine if engine is not None and half is None else "ort-cpu", half)


def engine_target(flavour: Flavour) -> str:
    """The target that an engine of this flavour is for."""
    return "tensorrt-rtx" if flavour.name == "rtx" else "tensorrt-10" if flavour.version[0] <= 10 else "tensorrt-11"


def find_windows(model: onnx.ModelProto) -> Recognised:
    """Raise windows that were written as slices or shifts, then recognise what is done with them.

    Before that Einsums get the letters that TensorRT reads, ReLUs are moved to the layers that take them in, Reshapes get the sizes
    that they compute, and writes at the places of a mask become choices.
    A loop over shifts of which nothing was recognised stays the loop that it was: its windows would hold all taps at once.
    """
    model = simplify(model).model
    raised = raise_windows(model)
    found = recognise(raised.model)
    return recognise(model) if raised.counts and not found.found else found


def lower_for(
    recognised: Recognised, plan: Plan, inputs: Sequence[TensorSpec], tune: bool, reporter: Reporter
) -> tuple[LoweringResult, LoweringResult | None]:
    """The FP32 model, and what the FP16 model is made of: the same result where both want the same forms.

    With ``tune``, forms are timed for the targets that can be timed here. Raises InputError where none can.
    """
    timeable = [name for name in (plan.fp32_target, plan.typed_target) if name in PROVIDERS]
    if tune and not timeable:
        raise InputError(
            f"--tune cannot time forms for {plan.fp32_target}",
            f"give --target {' or '.join(PROVIDERS)}, or leave it out",
        )

    # Shapes matter where there is a choice; shape inference of a large model takes its time.
    chosen = recognised.found or any(node.op_type in _EXACT_OPS for node in recognised.model.graph.node)
    shapes = opt_shapes(recognised.model, inputs) if tune or chosen else {}

    def made(prefer: str, forms: Collection[Lowering]) -> LoweringResult:
        measure = None
        if tune and prefer in PROVIDERS:
            measure = Tuner(shapes, prefer, reporter).times
        elif tune:
            reporter.note(f"--tune does not time {prefer}: its forms are chosen by estimate")
        return lower(recognised.model, NAMES, forms, prefer=prefer, measure=measure, shapes=shapes)

    full = made(plan.fp32_target, (*LOWERINGS, *EXACT))
    if plan.typed_target is None:
        return full, None
    differs = any(
        applied.op in _EXACT_OPS or (plan.typed_target != plan.fp32_target and applied.op in _BY_MACHINE)
        for applied in full.applied
    )
    return full, made(plan.typed_target, LOWERINGS) if differs else full
