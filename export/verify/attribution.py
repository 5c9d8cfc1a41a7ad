"""Parity attribution: for each output, what every stage adds to its error; for one that fails, the stage and the module to blame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import AttnexportError
from ...runtime.bundle.attribution import Attribution, Blame
from ...runtime.bundle.figures import rounding_floor
from ...runtime.bundle.stage import Stage
from ...runtime.spec import TensorSpec
from ..reference.original import Original, Precision
from .blame import find_blame, largest_step
from .chains import Chain, StageModels
from .fault import Fault, invalid_output
from .kernel import INEXACT, without_kernel
from .measure import MeasuredCase, StepOutputs, measured_cases

if TYPE_CHECKING:
    from .variant import Variant

__all__ = ["Fault", "MeasuredCase", "StageModels", "attribute", "invalid_output", "measured_cases"]


def attribute(
    made: StageModels,
    variants: Sequence[Variant],
    original: Original,
    outputs: Sequence[TensorSpec],
    measured: Sequence[MeasuredCase],
    faults: Sequence[Fault],
    factor: float,
) -> tuple[list[Attribution], list[str]]:
    """One entry for each output of each variant that ends a chain of steps; and the faults' texts, with who is to blame.

    All outputs get their figures on the ``measured`` cases. For the first fault of an output the steps run on the fault's
    own case, and the stage's graph is searched for the module.
    """
    chains = made.chains(variants)
    steps = StepOutputs(chains, measured)
    names = tuple(m.case.name for m in measured)
    blamed: dict[tuple[str, str], Blame] = {}
    texts = []
    for fault in faults:
        chain = _chain_of(chains, variants, fault)
        if chain is None:
            texts.append(fault.text)
            continue
        key = (chain.name, fault.output)
        if key not in blamed:
            blamed[key] = _blame(made, chain, variants, original, outputs, fault, factor)
        texts.append(f"{fault.text}; the error comes in at {blamed[key].describe()}")
    found = [
        Attribution(
            chain.name, spec.name, names, steps.figures(chain, spec), blamed.get((chain.name, spec.name)), steps.notes
        )
        for chain in chains
        for spec in outputs
    ]
    return found, texts


def _chain_of(chains: Sequence[Chain], variants: Sequence[Variant], fault: Fault) -> Chain | None:
    """The chain that ends in the fault's variant; for a variant that shows no step (FP16 in ONNX Runtime), the one to its file."""
    variant = variants[fault.variant]
    own = [chain for chain in chains if chain.variant == fault.variant]
    like = [chain for chain in chains if variants[chain.variant].file == variant.file]
    return next(iter((*own, *like)), None)


def _blame(
    made: StageModels,
    chain: Chain,
    variants: Sequence[Variant],
    original: Original,
    outputs: Sequence[TensorSpec],
    fault: Fault,
    factor: float,
) -> Blame:
    feeds = fault.case.feeds
    precisions: set[Precision] = {step.precision for step in chain.steps}
    own = {p: original.run(feeds, p) for p in precisions}
    ran = {step.variant: variants[step.variant].session.run(feeds) for step in chain.steps if step.variant is not None}
    case = MeasuredCase(fault.case, original.run(feeds, "float64"), own, ran)
    steps = StepOutputs([chain], [case])
    stage = steps.first_broken(chain, outputs)
    kernel = ""
    if stage is None:
        spec = next(spec for spec in outputs if spec.name == fault.output)
        figures = steps.figures(chain, spec)
        precision = figures[-1].precision if spec.numpy_dtype.kind == "f" else spec.dtype
        allowed = max(figures[-1].torch_rms, rounding_floor(precision, figures[-1].figures.reference_rms))
        step = largest_step(figures, factor * allowed)
        stage = step.stage
        if precision == "float32" and step.figures.rms > factor * allowed:
            kernel = _kernel(chain, stage, fault, case, allowed, factor)
    blame = find_blame(made, chain, stage, fault.output, original, feeds)
    return replace(blame, detail=kernel) if kernel else blame


def _kernel(chain: Chain, stage: Stage, fault: Fault, case: MeasuredCase, allowed: float, factor: float) -> str:
    """In words, that one kernel of ONNX Runtime makes the difference between passing and failing; empty where none does."""
    model = next(step.model for step in chain.steps if step.stage == stage)
    try:
        rms = without_kernel(model, fault.output, fault.case.feeds, case.reference[fault.output]) if model else None
    except AttnexportError:
        return ""
    if rms is None or rms > factor * allowed:
        return ""
    return f"ONNX Runtime's {INEXACT} on the CPU; with that alone in FP64 it would be {rms / allowed:.2g} times"
