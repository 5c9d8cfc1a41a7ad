"""The options of one export, typed and checked: those of the model and its inputs, and those of the export."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...runtime.inputs.picture import Scale
from ..engine import EngineOptions
from ..option_table import DEFAULTS, Calibration, IoPrecision, ModelType, Precision, TrtWish
from .inputs import DynamicArgument, InputArgument


@dataclass(frozen=True)
class SourceOptions:
    """The options that describe the model and its inputs, not yet compared with the model."""

    arch: str | None = None
    """A name of the registry (``--arch``)."""
    factory: str | None = None
    """``package.module:callable`` that returns the module (``--factory``, or MODEL itself); the current directory is importable."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the architecture or factory (``--kwargs``, a JSON object)."""
    inputs: tuple[str | InputArgument, ...] = ()
    """``x=1x3x224x224[:float32]``, one per input of the model (``--input``), or what this text means."""
    dynamic: tuple[str | DynamicArgument, ...] = ()
    """``x:AXIS=[SYMBOL=]min:opt:max`` (``--dynamic``), or what this text means; see :mod:`.inputs`."""
    static: bool = False
    """Make no axis dynamic."""
    allow_pickle: bool = False
    """Run the code that a pickled module imports. Only for trusted files."""
    random_weights: bool = False
    """Use random weights, drawn with seed 0, of an architecture or a factory, without a file."""
    own_weights: bool = False
    """Use the weights of the module that a factory returns, without a file (MODEL is ``package.module:callable``)."""


def parse_kwargs(text: str) -> dict[str, Any]:
    """Read ``--kwargs``. Raises InputError for anything but a JSON object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"--kwargs {text!r} is not JSON: {error}", """write for example --kwargs '{"depth": 2}'"""
        ) from error
    if not isinstance(value, dict):
        raise InputError(
            f"--kwargs {text!r} is a JSON {type(value).__name__}", """write an object: --kwargs '{"depth": 2}'"""
        )
    return value


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
