"""The device memory that an engine needs: from the engine if there is a GPU, otherwise from the builder's log.

The builder logs, for each optimization profile in turn, ``Total Device Persistent Memory`` and ``Total Activation Memory``, and once
``Total Weights Memory``. TensorRT 10, 11 and TensorRT-RTX write the same lines.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ...runtime.open.engine_memory import EngineMemory, ProfileMemory
from ...runtime.spec import TensorSpec
from .logger import Recording
from .profiles import ProfileJson

_LOGGED = re.compile(r"Total (Activation|Device Persistent|Weights) Memory: (\d+) bytes")


@dataclass(frozen=True)
class Needs:
    """Bytes that TensorRT uses: for the weights once; per profile for activations and for the state of a context."""

    weights: int
    activations: tuple[int, ...]
    persistent: tuple[int, ...]


def logged_needs(recording: Recording, profiles: int) -> Needs | None:
    """The memory in the builder's log; None if a figure is missing or their number does not fit ``profiles``."""
    sizes: dict[str, list[int]] = {"Activation": [], "Device Persistent": [], "Weights": []}
    for _, text in recording.messages:
        if match := _LOGGED.search(text):
            sizes[match[1]].append(int(match[2]))
    weights, activations, persistent = sizes["Weights"], sizes["Activation"], sizes["Device Persistent"]
    if len(weights) != 1 or not len(activations) == len(persistent) == profiles:
        return None
    return Needs(weights[0], tuple(activations), tuple(persistent))


def engine_needs(trt: Any, engine: Any, logged: Needs | None) -> Needs | None:
    """The memory of a deserialised engine on its GPU; ``logged`` has the figures that an engine does not report.

    The size of the weights comes from the engine if the library has ``get_engine_stat``.
    """
    if logged is None:
        return None
    activations = (engine.get_device_memory_size_for_profile_v2(i) for i in range(engine.num_optimization_profiles))
    weights = logged.weights
    if hasattr(engine, "get_engine_stat"):
        weights = int(engine.get_engine_stat(trt.EngineStat.TOTAL_WEIGHTS_SIZE))
    return Needs(weights, tuple(int(size) for size in activations), logged.persistent)


def engine_memory(
    needs: Needs | None, profiles: Sequence[ProfileJson], types: Mapping[str, str], outputs: Sequence[TensorSpec]
) -> EngineMemory | None:
    """The memory of a session: TensorRT's needs, and the buffers of inputs and outputs at each profile's largest shapes.

    ``types``: the dtype of each input and output; ``outputs``: the shapes of the outputs. None if ``needs`` is unknown.
    """
    if needs is None:
        return None
    sizes = {name: np.dtype(dtype).itemsize for name, dtype in types.items()}
    results = sum(prod(spec.shape("max")) * sizes[spec.name] for spec in outputs)
    return EngineMemory(
        needs.weights,
        tuple(
            ProfileMemory(
                activations, persistent, sum(prod(shapes["max"]) * sizes[name] for name, shapes in profile.items()), results
            )
            for activations, persistent, profile in zip(needs.activations, needs.persistent, profiles, strict=True)
        ),
    )  # fmt: skip
