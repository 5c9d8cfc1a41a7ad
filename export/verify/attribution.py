"""Attribute the error of each output to the stages; for a failed output, find the stage and the module that cause it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...errors import AttnexportError
from ...runtime.bundle.attribution import Attribution, Blame
from ...runtime.bundle.figures import rounding_floor
from ...runtime.bundle.sections import Selection
from ...runtime.bundle.stage import Stage
from ...runtime.spec import TensorSpec
from ..reference.original import Original, Precision
from .blame import find_blame, largest_step
from .chains import Chain, StageModels
from .fault import Fault
from .kernel import inexact_kernel
from .measure import MeasuredCase, StepOutputs
from .variant import Variant


@dataclass(frozen=True)
class Attributor:
    """Attributes errors of ``variants`` to the stages that made ``models``; ``factor`` is the gate."""

    models: StageModels
    variants: Sequence[Variant]
    original: Original
    outputs: Sequence[TensorSpec]
    factor: float
    selections: Sequence[Selection] = ()

    def attribute(
        self, measured: Sequence[MeasuredCase], faults: Sequence[Fault]
    ) -> tuple[list[Attribution], list[str]]:
        """Return an entry for each output of each variant that ends a chain, and the faults' messages with their causes.

        All outputs get their figures on the ``measured`` cases. For the first fault of an output, the
        steps run on the fault's case, and the stage's graph is searched for the module.
        """
        chains = self.models.chains(self.variants)
        steps = StepOutputs(chains, measured, self.selections)
        cases = tuple(m.case.name for m in measured)
        blames: dict[tuple[str, str], Blame] = {}
        messages = []
        for fault in faults:
            chain = self._chain_of(chains, fault)
            if chain is None:
                messages.append(fault.text)
                continue
            key = (chain.name, fault.output)
            if key not in blames:
                blames[key] = self._blame(chain, fault)
            messages.append(f"{fault.text}; the error comes in at {blames[key].describe()}")
        entries = [
            Attribution(
                chain.name,
                spec.name,
                cases,
                steps.figures(chain, spec),
                blames.get((chain.name, spec.name)),
                steps.notes,
            )
            for chain in chains
            for spec in self.outputs
        ]
        return entries, messages

    def _chain_of(self, chains: Sequence[Chain], fault: Fault) -> Chain | None:
        """The chain that ends in the fault's variant; if no chain does (FP16 in ONNX Runtime), the chain to its file."""
        file = self.variants[fault.variant].file
        exact = [chain for chain in chains if chain.variant == fault.variant]
        same_file = [chain for chain in chains if self.variants[chain.variant].file == file]
        return next(iter((*exact, *same_file)), None)

    def _blame(self, chain: Chain, fault: Fault) -> Blame:
        feeds = fault.case.feeds
        precisions: set[Precision] = {step.precision for step in chain.steps}
        torch = {precision: self.original.run(feeds, precision) for precision in precisions}
        results = {
            step.variant: self.variants[step.variant].session.run(feeds)
            for step in chain.steps
            if step.variant is not None
        }
        case = MeasuredCase(fault.case, self.original.run(feeds, "float64"), torch, results)
        steps = StepOutputs([chain], [case], self.selections)
        stage = steps.first_invalid(chain, self.outputs)
        kernel = ""
        if stage is None:
            spec = next(spec for spec in self.outputs if spec.name == fault.output)
            figures = steps.figures(chain, spec)
            last = figures[-1]
            precision = last.precision if spec.numpy_dtype.kind == "f" else spec.dtype
            unit = max(last.torch_rms, rounding_floor(precision, last.figures.reference_rms))
            step = largest_step(figures, self.factor * unit)
            stage = step.stage
            if precision == "float32" and step.figures.rms > self.factor * unit:
                kernel = self._kernel(chain, stage, fault, case, unit)
        blame = find_blame(self.models, chain, stage, fault.output, self.original, feeds)
        return replace(blame, detail=kernel) if kernel else blame

    def _kernel(self, chain: Chain, stage: Stage, fault: Fault, case: MeasuredCase, unit: float) -> str:
        """A message if the output passes with one of ONNX Runtime's kernels replaced by FP64, else an empty string."""
        model = next(step.model for step in chain.steps if step.stage == stage)
        if model is None:
            return ""
        reference, limit = case.reference[fault.output], self.factor * unit
        try:
            cause = inexact_kernel(model, fault.output, fault.case.feeds, reference, limit)
        except AttnexportError:
            return ""
        if cause is None:
            return ""
        name = cause.operator
        return f"ONNX Runtime's {name} on the CPU; with {name} in FP64 the error is {cause.rms / unit:.2g}x"
