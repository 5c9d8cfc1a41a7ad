"""What the user asked for, held to its form before any work starts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ...errors import InputError
from ...runtime.inputs.picture import Scale, numbers
from ..engine import EngineOptions
from .source_options import SourceOptions, parse_kwargs

TrtWish = Literal["auto", "rtx", "enterprise"]
ModelType = Literal["fp16", "bf16", "fp32", "int8", "fp8"]
Precision = Literal["auto", "fp16", "bf16", "fp32", "int8", "fp8"]
IoPrecision = Literal["fp32", "same"]
Calibration = Literal["auto", "minmax", "percentile"]


@dataclass(frozen=True)
class ExportOptions:
    """One export: the model, what to make of it, and how to judge it."""

    model: Path | None
    out: Path | None = None
    force: bool = False
    trt: TrtWish | None = None
    precision: Precision = "auto"
    precision_target: float | None = None
    precision_time: float = 120.0
    io_precision: IoPrecision = "fp32"
    calibration: Calibration = "auto"
    target: str | None = None
    tune: bool = False
    source: SourceOptions = field(default_factory=SourceOptions)
    outputs: tuple[str, ...] = ()
    attention: bool = False
    whole: bool = False
    limit: int | None = None
    beam_width: int = 1
    samples: Path | None = None
    image_scale: Scale | None = None
    seed: int = 0
    gate: float = 2.0
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

    @classmethod
    def from_strings(
        cls,
        *,
        model: Path | None,
        trt: str | None,
        precision: str,
        io_precision: str = "fp32",
        calibration: str = "auto",
        kwargs: str,
        workspace: str | None,
        gate: float,
        arch: str | None = None,
        factory: str | None = None,
        random_weights: bool = False,
        allow_pickle: bool = False,
        inputs: Sequence[str] = (),
        dynamic: Sequence[str] = (),
        static: bool = False,
        outputs: Sequence[str] = (),
        extra_outputs: str | None = None,
        timing_cache: Path | None = None,
        compute_capabilities: Sequence[str] = (),
        optimization_level: int | None = None,
        build_time_limit: float | None = None,
        image_mean: str | None = None,
        image_std: str | None = None,
        **rest: Any,
    ) -> ExportOptions:
        """Read the command line's words. Raises InputError naming the option and its value."""
        if trt not in (None, "auto", "rtx", "enterprise"):
            raise InputError(f"--trt={trt} is not known", "use --trt, --trt=rtx or --trt=enterprise")
        if precision not in ("auto", "fp16", "bf16", "fp32", "int8", "fp8"):
            raise InputError(f"--precision {precision} is not known", "use auto, fp16, bf16, int8, fp8 or fp32")
        if io_precision not in ("fp32", "same"):
            raise InputError(f"--io-precision {io_precision} is not known", "use fp32 or same")
        if precision in ("int8", "fp8") and io_precision == "same":
            raise InputError(
                f"--io-precision same does not go with --precision {precision}: inputs and outputs stay float32",
                "leave it out",
            )
        if calibration not in get_args(Calibration):
            raise InputError(
                f"--calibration {calibration} is not known", f"use one of {', '.join(get_args(Calibration))}"
            )
        if calibration != "auto" and precision not in ("int8", "fp8"):
            raise InputError(
                "--calibration belongs to --precision int8 and fp8", "leave it out, or quantise with --precision int8"
            )
        if (precision, io_precision) == ("bf16", "same"):
            raise InputError(
                "--io-precision same does not go with --precision bf16: NumPy has no bfloat16, so no array could be fed",
                "use --io-precision fp32, or --precision fp16",
            )
        for option in ("precision_target", "precision_time"):
            if (given := rest.get(option)) is not None and not given > 0:
                raise InputError(f"--{option.replace('_', '-')} {given:g} is not above 0", "give a number above 0")
        if extra_outputs not in (None, "attention"):
            raise InputError(
                f"--outputs {extra_outputs} is not known", "use --outputs attention; to name outputs, use --output NAME"
            )
        if not gate > 0:
            raise InputError(
                f"--gate {gate:g} is not above 0", "give the factor of PyTorch's own error that is allowed"
            )
        if rest.get("seed", 0) < 0:
            raise InputError(f"--seed {rest['seed']} is below 0", "give a whole number from 0")
        for option, value in (("--limit", rest.get("limit")), ("--beam-width", rest.get("beam_width"))):
            if value is not None and value < 1:
                raise InputError(f"{option} {value} is below 1", "give a whole number from 1")
        built = factory is None and model is not None and is_factory(model)
        if built:
            model, factory = None, str(model)
        if model is None and not (random_weights or built):
            raise InputError("no MODEL is given", "give a file, or --arch NAME --random-weights")
        return cls(
            model=model,
            trt=trt,  # type: ignore[arg-type]  # narrowed by the test above
            precision=precision,  # type: ignore[arg-type]
            io_precision=io_precision,  # type: ignore[arg-type]
            calibration=calibration,  # type: ignore[arg-type]
            gate=gate,
            source=SourceOptions(
                arch=arch,
                factory=factory,
                kwargs=parse_kwargs(kwargs),
                inputs=tuple(inputs),
                dynamic=tuple(dynamic),
                static=static,
                allow_pickle=allow_pickle,
                random_weights=random_weights,
                own_weights=built and not random_weights,
            ),
            outputs=tuple(outputs),
            image_scale=_image_scale(image_mean, image_std),
            attention=extra_outputs == "attention",
            engine=EngineOptions.from_strings(
                workspace=workspace,
                timing_cache=timing_cache,
                compute_capabilities=compute_capabilities,
                optimization_level=optimization_level,
                build_time_limit=build_time_limit,
            ),
            **rest,
        )


def is_factory(model: Path) -> bool:
    """Whether MODEL is ``package.module:callable`` and no file."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", str(model)) is not None and not model.exists()


def _image_scale(mean: str | None, std: str | None) -> Scale | None:
    """What the options say of how images are normalised; None where they say nothing."""
    if mean is None and std is None:
        return None
    return Scale(numbers(mean or "0", "--image-mean"), numbers(std or "1", "--image-std"), "--image-")
