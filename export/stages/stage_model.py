"""The result of one stage: a model, the report about it, its file in the bundle and the precision that it is verified at."""

from dataclasses import dataclass

import onnx

from ...runtime.bundle.stage import Stage
from ...runtime.spec import TensorSpec
from ..graph.rewrites import Refusal, Rewrite
from ..lower import LoweringResult
from ..precision import PrecisionResult
from ..recognise import Recognised
from ..reference.original import Original, Precision
from ..search import SearchReport

FP32 = "model.onnx"

HALF = {"fp16": "model.fp16.onnx", "bf16": "model.bf16.onnx"}
"""The file of a 16-bit model, by type."""

TYPED = {**HALF, "int8": "model.int8.onnx", "fp8": "model.fp8.onnx"}
"""The file of a typed model, by type."""

EIGHT: dict[str, Precision] = {"int8": "int8+float16", "fp8": "fp8+float16"}
PRECISION: dict[str, Precision] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", **EIGHT}
"""The precision at which PyTorch's error is the reference, by type."""


@dataclass(frozen=True)
class StageModel:
    """The model after one stage. ``applied`` and ``refused`` are the rewrites of simplify and raise.

    ``model_type`` is ``fp32``, or the type that a lowered or typed model is for. ``changed`` is False if the stage
    computes the same as the stage before it.
    """

    stage: Stage
    model: onnx.ModelProto
    model_type: str = "fp32"
    changed: bool = True
    applied: tuple[Rewrite, ...] = ()
    refused: tuple[Refusal, ...] = ()

    @property
    def name(self) -> str:
        """The name on the console: ``lower``, ``lower-fp16`` for the FP32 source of a typed model, ``fp16``."""
        if self.stage is Stage.LOWER and self.model_type != "fp32":
            return f"{self.stage}-{self.model_type}"
        return self.stage.label(self.model_type)

    @property
    def typed(self) -> bool:
        """Whether the model runs under emulation: ONNX Runtime's CPU provider does not round to 16-bit types."""
        return self.stage is Stage.TYPED

    @property
    def precision(self) -> Precision:
        """The precision that the model computes in."""
        return PRECISION[self.model_type] if self.typed else "float32"


@dataclass(frozen=True, kw_only=True)
class RecognisedModel(StageModel):
    """The model after recognising local attention."""

    recognised: Recognised


@dataclass(frozen=True, kw_only=True)
class LoweredModel(StageModel):
    """A model of standard operators, and the specs of its outputs."""

    lowered: LoweringResult
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, kw_only=True)
class TypedModel(StageModel):
    """A model of another type, with the decisions about each node, and the original that evaluates that type."""

    result: PrecisionResult
    original: Original
    search: SearchReport | None = None
