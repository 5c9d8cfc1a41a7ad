"""How much device memory an engine needs: from the engine itself where a GPU is, from the builder's log elsewhere.

The builder logs, for each optimization profile in turn, ``Total Device Persistent Memory`` and ``Total Activation Memory``, and once
``Total Weights Memory``. TensorRT 10, 11 and TensorRT-RTX write the same words.
"""

from __future__ import annotations

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

_SAID = re.compile(r"Total (Activation|Device Persistent|Weights) Memory: (\d+) bytes")


@dataclass(frozen=True)
class Needs:
    """Bytes that TensorRT itself takes: of the weights once, and by profile of activations and of what a context keeps."""

    weights: int
    activations: tuple[int, ...]
    persistent: tuple[int, ...]


def logged_needs(recording: Recording, profiles: int) -> Needs | None:
    """What the builder's log says; None where a figure is missing, or they are not those of ``profiles`` profiles."""
    found: dict[str, list[int]] = {"Activation": [], "Device Persistent": [], "Weights": []}
    for _, text in recording.messages:
        if match := _SAID.search(text):
            found[match[1]].append(int(match[2]))
    weights, activations, persistent = found["Weights"], found["Activation"], found["Device Persistent"]
    if len(weights) != 1 or not len(activations) == len(persistent) == profiles:
        return None
    return Needs(weights[0], tuple(activations), tuple(persistent))


def engine_needs(trt: Any, engine: Any, logged: Needs | None) -> Needs | None:
    """What a deserialised engine says, on the GPU that it runs on; ``logged`` has what an engine cannot be asked for.

    The weights are asked for where the library knows how (``get_engine_stat``).
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
    """All that a session takes: TensorRT's needs and the buffers of inputs and outputs at each profile's largest shapes.

    ``types``: the dtype of each tensor at the engine's border; ``outputs``: its outputs' shapes. None where TensorRT did not say.
    """
    if needs is None:
        return None
    sizes = {name: np.dtype(dtype).itemsize for name, dtype in types.items()}
    given = sum(prod(spec.shape("max")) * sizes[spec.name] for spec in outputs)
    return EngineMemory(
        needs.weights,
        tuple(
            ProfileMemory(
                activations, persistent, sum(prod(shapes["max"]) * sizes[name] for name, shapes in profile.items()), given
            )
            for activations, persistent, profile in zip(needs.activations, needs.persistent, profiles, strict=True)
        ),
    )  # fmt: skip
