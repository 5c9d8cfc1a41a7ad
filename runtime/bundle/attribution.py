"""The origin of an export's error: for each output, the error that every stage adds, and the cause.

The stages are steps from one evaluable model to the next. Each is compared with the FP64 reference
and with the step before it.
"""

from dataclasses import dataclass

from .figures import Figures
from .stage import Stage

_SHORT = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}


def short_type(precision: str) -> str:
    """``fp16`` for ``float16``, ``int8`` for ``int8+float16``: the type as ``--precision`` names it."""
    return _SHORT.get(precision, precision.partition("+")[0])


@dataclass(frozen=True)
class StepFigures:
    """One output after one stage.

    ``figures``: compared with the reference. ``added``: rms of the difference from the step before
    (from the reference for the first). ``ratio``: the rms as a multiple of PyTorch's error at
    ``precision``, the larger of ``torch_rms`` and half an ulp. ``growth``: the increase of the
    ratio since the last step of the same precision.
    """

    stage: Stage
    precision: str
    figures: Figures
    added: float
    torch_rms: float
    ratio: float
    growth: float


@dataclass(frozen=True)
class Blame:
    """The stage where an error arises, by its name on the console (``lower``, ``fp16``), and the PyTorch module
    (``layer1.0.attn``), its class and its source line.

    ``node`` is the first node after which the stage's values differ from those of the step before;
    ``detail`` is the stage's rewrite of it, or the runtime's kernel with the error. All are empty if
    only the stage is known, as for an engine, whose inside is not visible.
    """

    stage: str
    module: str = ""
    kind: str = ""
    source: str = ""
    node: str = ""
    detail: str = ""

    def describe(self) -> str:
        """``lower, module layer2.attn (net.py:41)``."""
        detail = f": {self.detail}" if self.detail else ""
        if not self.node:
            return f"{self.stage}{detail}"
        named = f"module {self.module}" if self.module else "the outermost module"
        at = f" ({self.source})" if self.source else ""
        return f"{self.stage}, {named}{at}{detail}"


@dataclass(frozen=True)
class Attribution:
    """The errors of one output on its path to one ``variant`` (``onnx-fp32``, ``emulated-fp16``, ``engine-fp16`` …).

    Measured on ``cases``, some cases of the verification. ``blame`` is None if the variant passes its gates; ``notes`` name
    the steps that could not run separately, with the reason.
    """

    variant: str
    output: str
    cases: tuple[str, ...]
    steps: tuple[StepFigures, ...]
    blame: Blame | None = None
    notes: tuple[str, ...] = ()

    def line(self) -> str:
        """``capture 0.93x  rewrite +0.00x  lower +0.10x  fp16 0.60x``: ratios, and their increases."""
        parts: list[str] = []
        before = ""
        for step in self.steps:
            short = short_type(step.precision)
            name = step.stage.label(short)
            if step.stage is Stage.ENGINE and step.precision != "float32":
                name += f" ({short})"
            figure = f"{step.growth:+.2f}x" if step.precision == before else f"{step.ratio:.2f}x"
            parts.append(f"{name} {figure}")
            before = step.precision
        return "  ".join(parts)
