"""The table of targets: what a lowered model must run on, and the words that people type for each.

A new target is one entry of ``TARGETS``, and its measured rows in a matrix file (see ``matrix.py``).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import InputError
from ...runtime.sessions.providers import CHAINS

Family = Literal["ort", "tensorrt"]
SHIPPED = Path(__file__).with_name("matrix.json")


@dataclass(frozen=True)
class EngineLibrary:
    """The TensorRT that builds a target's engines: its flavour, and its major version if that matters."""

    flavour: Literal["rtx", "enterprise"]
    major: int | None = None


@dataclass(frozen=True)
class Target:
    """One backend with operators measured separately. ``title`` is its name in a sentence.

    ``gpu``: whether it runs on a GPU; ``half``: whether it runs ``model.fp16.onnx``. ``providers`` are ONNX Runtime's
    execution providers, the preferred one first; ``engine`` is the library that builds engines. ``matrix`` is the file
    with its measured rows.
    """

    name: str
    family: Family
    title: str
    gpu: bool = True
    half: bool = True
    providers: tuple[str, ...] = ()
    engine: EngineLibrary | None = None
    aliases: tuple[str, ...] = ()
    matrix: Path = SHIPPED


TARGETS: tuple[Target, ...] = (
    Target(
        "ort-cpu", "ort", "ONNX Runtime on the CPU", gpu=False, half=False, providers=CHAINS["ort-cpu"],
        aliases=("ort", "onnxruntime", "cpu", "onnxruntime-cpu"),
    ),
    Target(
        "ort-cuda", "ort", "ONNX Runtime with CUDA", providers=CHAINS["ort-cuda"],
        aliases=("ort", "onnxruntime", "cuda", "ort-gpu", "onnxruntime-gpu", "onnxruntime-cuda"),
    ),
    Target(
        "tensorrt-10", "tensorrt", "TensorRT 10", engine=EngineLibrary("enterprise", 10),
        aliases=("tensorrt", "trt", "enterprise", "trt-10", "trt10", "tensorrt10"),
    ),
    Target(
        "tensorrt-11", "tensorrt", "TensorRT 11", engine=EngineLibrary("enterprise", 11),
        aliases=("tensorrt", "trt", "enterprise", "trt-11", "trt11", "tensorrt11"),
    ),
    Target(
        "tensorrt-rtx", "tensorrt", "TensorRT-RTX", engine=EngineLibrary("rtx"),
        aliases=("tensorrt", "trt", "rtx", "trt-rtx"),
    ),
)  # fmt: skip
DEFAULT_CPU, DEFAULT_GPU = "ort-cpu", "ort-cuda"
"""The targets that models are made fast on unless another is asked for."""

_VERSION = re.compile(r"((?:tensorrt|trt)-?\d+)(?:\.[\dx]+)+")


def target_names() -> tuple[str, ...]:
    """The names of all targets, in the order of :data:`TARGETS`."""
    return tuple(target.name for target in TARGETS)


def target_of(name: str) -> Target:
    """The target with this exact name. Raises InputError for any other word."""
    target = next((target for target in TARGETS if target.name == name), None)
    if target is None:
        raise _unknown(name)
    return target


def engine_target(flavour: str, major: int) -> str:
    """The target of engines that ``flavour`` of this major version builds: the newest one that is not newer, else the oldest."""
    libraries = {target.name: target.engine for target in TARGETS if target.engine and target.engine.flavour == flavour}
    majors = {name: library.major or 0 for name, library in libraries.items()}
    return max(
        majors, key=lambda name: (majors[name] <= major, majors[name] if majors[name] <= major else -majors[name])
    )


def timeable_targets() -> tuple[str, ...]:
    """The targets whose forms ``--tune`` can time: those that ONNX Runtime runs."""
    return tuple(target.name for target in TARGETS if target.providers)


def resolve(words: str | Collection[str]) -> tuple[str, ...]:
    """The target names for names, families (``ort``, ``tensorrt``) and aliases (``TRT 10.13``, ``rtx``, ``cpu``).

    Each target once, in the order of :data:`TARGETS`. Raises InputError for an unknown word, or without any word.
    """
    typed = [words] if isinstance(words, str) else list(words)
    unknown = sorted({word.strip() or "(none)" for word in typed if not _targets_of(word)})
    if unknown or not typed:
        raise _unknown(", ".join(unknown) or "(none)")
    names = {name for word in typed for name in _targets_of(word)}
    return tuple(name for name in target_names() if name in names)


def _targets_of(word: str) -> tuple[str, ...]:
    plain = re.sub(r"[\s_]+", "-", word.strip().lower())
    match = _VERSION.fullmatch(plain)
    plain = match[1] if match else plain
    exact = tuple(target.name for target in TARGETS if target.name == plain)
    return exact or tuple(target.name for target in TARGETS if plain in target.aliases)


def _unknown(words: str) -> InputError:
    names = ", ".join(target_names())
    return InputError(f"target {words} is not known", f"use {names}, or ort or tensorrt for a whole family")
