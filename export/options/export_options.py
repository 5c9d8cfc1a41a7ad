"""One export's options, typed and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ...runtime.inputs.picture import Scale
from ..engine import EngineOptions
from ..option_table import DEFAULTS, Calibration, IoPrecision, ModelType, Precision, TrtWish
from .source_options import SourceOptions


@dataclass(frozen=True)
class ExportOptions:
    """The model, what to make of it, and how to judge it. :mod:`..option_table` describes each option."""

    model: Path | None
    out: Path | None = None
    force: bool = False
    trt: TrtWish | None = None
    precision: Precision = DEFAULTS["precision"]
    precision_target: float | None = None
    precision_time: float = DEFAULTS["precision_time"]
    io_precision: IoPrecision = DEFAULTS["io_precision"]
    calibration: Calibration = DEFAULTS["calibration"]
    target: str | None = None
    tune: bool = False
    source: SourceOptions = field(default_factory=SourceOptions)
    outputs: tuple[str, ...] = ()
    attention: bool = False
    whole: bool = False
    limit: int | None = None
    beam_width: int = DEFAULTS["beam_width"]
    samples: Path | None = None
    image_scale: Scale | None = None
    seed: int = DEFAULTS["seed"]
    gate: float = DEFAULTS["gate"]
    allow_unstable: bool = False
    keep_failed: bool = False
    engine: EngineOptions = field(default_factory=EngineOptions)

    @property
    def model_type(self) -> ModelType:
        """The type of the typed model: FP16 for ``auto``, else ``precision``."""
        return "fp16" if self.precision == "auto" else self.precision

    @property
    def searches(self) -> bool:
        """Whether a search decides which operators stay FP32 (``--precision auto``)."""
        return self.precision == "auto"
