"""From option values, as the command line or Python passes them, to typed options."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_origin

from ...errors import InputError
from ...runtime.bundle.figures import check_factor
from ...runtime.inputs.picture import Scale, numbers
from ..engine import EngineOptions
from ..engine.config import parse_bytes
from ..option_table import ENGINE, OPTIONS, Option
from .export_options import ExportOptions, SourceOptions, parse_kwargs


def read_options(**values: Any) -> ExportOptions:
    """Return the options of an export. Options that are left out have their default.

    Raises InputError naming the option and its value if it is unknown, has the wrong type or a value that is not
    allowed, or contradicts another option.
    """
    checked = check_values(OPTIONS, values)
    _check_together(checked)
    model, factory = checked["model"], checked["factory"]
    builds = factory is None and model is not None and is_factory(model)
    if builds:
        model, factory = None, str(model)
    if model is None and not (checked["random_weights"] or builds):
        raise InputError("no MODEL is given", "give a file, or --arch NAME --random-weights")
    check_factor(checked["gate"])
    kwargs = checked["kwargs"]
    source = SourceOptions(
        factory=factory,
        kwargs=kwargs if isinstance(kwargs, Mapping) else parse_kwargs(kwargs),
        own_weights=builds and not checked["random_weights"],
        **{name: checked[name] for name in ("arch", "inputs", "dynamic", "static", "allow_pickle", "random_weights")},
    )
    plain = (
        "out", "force", "trt", "precision", "precision_target", "precision_time", "io_precision", "calibration", "target",
        "tune", "outputs", "whole", "limit", "beam_width", "samples", "seed", "gate", "allow_unstable", "keep_failed",
    )  # fmt: skip
    return ExportOptions(
        model=model, source=source, attention=checked["extra_outputs"] == "attention", engine=_engine(checked),
        image_scale=_image_scale(checked["image_mean"], checked["image_std"]), **{name: checked[name] for name in plain},
    )  # fmt: skip


def read_engine_options(**values: Any) -> EngineOptions:
    """Return how TensorRT builds an engine, from the options of :data:`..option_table.ENGINE`. Raises as :func:`read_options`."""
    return _engine(check_values(ENGINE, values))


def check_values(options: Iterable[Option], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for each option: the one in ``values``, checked, or the default. Raises InputError."""
    known = {option.name: option for option in options}
    if unknown := [name for name in values if name not in known]:
        raise InputError(f"option {unknown[0]!r} is not known", "see attnexport export --help for options")
    return {
        name: option.default if values.get(name) is None else _checked(option, values[name])
        for name, option in known.items()
    }


def _checked(option: Option, value: Any) -> Any:
    flag = option.flag
    if get_origin(option.type) is list:
        if isinstance(value, str):
            raise InputError(f"{flag} takes a list, not {value!r}", f"write [{value!r}]")
        return tuple(value)
    if option.type is Path:
        return Path(value)
    if option.type in (int, float) and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InputError(f"{flag} takes a number, not {value!r}", option.remedy or "give a number")
    if option.allowed and value not in option.allowed:
        raise InputError(f"{flag} {value} is not known", option.remedy or f"use one of {', '.join(option.allowed)}")
    if option.above is not None and not value > option.above:
        raise InputError(f"{flag} {value:g} is not above {option.above:g}", option.remedy)
    if option.least is not None and value < option.least:
        raise InputError(f"{flag} {value} is below {option.least}", option.remedy)
    return value


def _check_together(values: Mapping[str, Any]) -> None:
    """Raise InputError for options that contradict each other."""
    precision, eight = values["precision"], values["precision"] in ("int8", "fp8")
    if values["io_precision"] == "same" and eight:
        raise InputError(
            f"--io-precision same does not go with --precision {precision}: inputs and outputs stay float32",
            "leave it out",
        )
    if values["io_precision"] == "same" and precision == "bf16":
        raise InputError(
            "--io-precision same does not go with --precision bf16: NumPy has no bfloat16, so no array could be fed",
            "use --io-precision fp32, or --precision fp16",
        )
    if values["calibration"] != "auto" and not eight:
        raise InputError(
            "--calibration requires --precision int8 or fp8", "leave it out, or quantise with --precision int8"
        )


def is_factory(model: Path) -> bool:
    """Return whether MODEL is ``package.module:callable`` and not a file."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", str(model)) is not None and not model.exists()


def _image_scale(mean: str | None, std: str | None) -> Scale | None:
    if mean is None and std is None:
        return None
    return Scale(numbers(mean or "0", "--image-mean"), numbers(std or "1", "--image-std"), "--image-")


def _engine(values: Mapping[str, Any]) -> EngineOptions:
    workspace = values["workspace"]
    return EngineOptions(
        workspace_bytes=None if workspace is None else parse_bytes(str(workspace), "--workspace"),
        time_limit_s=values["build_time_limit"],
        **{name: values[name] for name in ("timing_cache", "compute_capabilities", "optimization_level")},
    )
