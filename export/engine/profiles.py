"""Optimization profiles: the shapes that an engine is built for, from the input specs; checked against the network."""

from collections.abc import Sequence
from typing import Any

from ...errors import EngineError, InputError
from ...runtime.spec import POINTS, TensorSpec
from .layers import dtype_name

ProfileJson = dict[str, dict[str, list[int]]]


def profile_json(inputs: Sequence[TensorSpec]) -> ProfileJson:
    """``{input: {"min": [...], "opt": [...], "max": [...]}}``."""
    return {spec.name: {point: list(spec.shape(point)) for point in POINTS} for spec in inputs}


def add_profile(builder: Any, config: Any, network: Any, inputs: Sequence[TensorSpec]) -> list[ProfileJson]:
    """Check ``inputs`` against the network, and add a profile if an axis is dynamic.

    Returns the profiles for the manifest (one, also for a static network: its min, opt and max are equal). Raises
    InputError if specs and network differ, EngineError if TensorRT refuses the profile.
    """
    tensors = [network.get_input(i) for i in range(network.num_inputs)]
    _check_names([t.name for t in tensors], [s.name for s in inputs])
    specs = {spec.name: spec for spec in inputs}
    for tensor in tensors:
        check_input(
            tensor.name, tuple(tensor.shape), dtype_name(tensor.dtype), tensor.is_shape_tensor, specs[tensor.name]
        )
    if any(-1 in tuple(tensor.shape) for tensor in tensors):
        profile = builder.create_optimization_profile()
        for tensor in tensors:
            spec = specs[tensor.name]
            profile.set_shape(tensor.name, *(spec.shape(point) for point in POINTS))
        if not profile or config.add_optimization_profile(profile) < 0:
            raise EngineError(f"TensorRT refuses the profile {'; '.join(s.describe() for s in inputs)}")
    return [profile_json(inputs)]


def check_input(name: str, shape: tuple[int, ...], dtype: str, is_shape: bool, spec: TensorSpec) -> None:
    """Raise InputError if a spec does not fit the network's input (``-1`` in ``shape`` is a dynamic axis)."""
    if is_shape:
        raise InputError(
            f"the values of input {name!r} set a shape in the model: TensorRT needs a range of its values, not of its sizes",
            "make it a constant of the model, or take the size from an axis of another input",
        )
    if spec.dtype != dtype:
        why = "TensorRT has no float64" if spec.dtype == "float64" else f"the model takes {dtype}"
        raise InputError(f"input {name!r} is {spec.dtype}, and {why}", f"pass {name!r} as {dtype}")
    if len(shape) != len(spec.axes):
        raise InputError(
            f"input {name!r} has rank {len(shape)} in the model", f"{spec.describe()} has rank {len(spec.axes)}"
        )
    for i, (size, axis) in enumerate(zip(shape, spec.axes, strict=True)):
        if size != -1 and (axis.min, axis.max) != (size, size):
            raise InputError(
                f"axis {i} of input {name!r} is fixed to {size} in the model, not {axis.min}:{axis.opt}:{axis.max}",
                f"export the model with that axis dynamic, or pass {size}",
            )


def _check_names(network: Sequence[str], specs: Sequence[str]) -> None:
    takes = f"the model takes {', '.join(network) or 'no input'}"
    if missing := [n for n in network if n not in specs]:
        raise InputError(f"input {missing[0]!r} of the model has no shape", f"pass one for it: {takes}")
    if extra := [n for n in specs if n not in network]:
        raise InputError(f"a shape is given for {extra[0]!r}, which is not an input of the model", takes)
