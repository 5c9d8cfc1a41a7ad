"""The targets by name: what a lowered model must run on, and the words that people type for them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from ...errors import InputError

Family = Literal["ort", "tensorrt"]


@dataclass(frozen=True)
class Target:
    """One backend whose operators are measured on their own. ``title`` is its name in a sentence."""

    name: str
    family: Family
    title: str


TARGETS: tuple[Target, ...] = (
    Target("ort-cpu", "ort", "ONNX Runtime on the CPU"),
    Target("ort-cuda", "ort", "ONNX Runtime with CUDA"),
    Target("tensorrt-10", "tensorrt", "TensorRT 10"),
    Target("tensorrt-11", "tensorrt", "TensorRT 11"),
    Target("tensorrt-rtx", "tensorrt", "TensorRT-RTX"),
)
NAMES: tuple[str, ...] = tuple(target.name for target in TARGETS)

_BY_NAME = {target.name: target for target in TARGETS}
_ALIASES: dict[str, tuple[str, ...]] = {
    "ort": ("ort-cpu", "ort-cuda"),
    "onnxruntime": ("ort-cpu", "ort-cuda"),
    "cpu": ("ort-cpu",),
    "onnxruntime-cpu": ("ort-cpu",),
    "cuda": ("ort-cuda",),
    "ort-gpu": ("ort-cuda",),
    "onnxruntime-gpu": ("ort-cuda",),
    "onnxruntime-cuda": ("ort-cuda",),
    "tensorrt": ("tensorrt-10", "tensorrt-11", "tensorrt-rtx"),
    "trt": ("tensorrt-10", "tensorrt-11", "tensorrt-rtx"),
    "enterprise": ("tensorrt-10", "tensorrt-11"),
    "rtx": ("tensorrt-rtx",),
    "trt-rtx": ("tensorrt-rtx",),
}
_MAJOR = re.compile(r"(?:tensorrt|trt)-?(10|11)(?:\.[\dx]+)*")


def target_of(name: str) -> Target:
    """The target of this name, in the one spelling of :data:`NAMES`. Raises InputError for any other word."""
    if name not in _BY_NAME:
        raise _unknown(name)
    return _BY_NAME[name]


def resolve(words: str | Collection[str]) -> tuple[str, ...]:
    """Names, families (``ort``, ``tensorrt``) and what people type (``TRT 10.13``, ``rtx``, ``cpu``) as target names.

    Each target once, in the order of :data:`TARGETS`. Raises InputError for an unknown word, or for none at all.
    """
    given = [words] if isinstance(words, str) else list(words)
    unknown = sorted({word.strip() or "(none)" for word in given if not _meant(word)})
    if unknown or not given:
        raise _unknown(", ".join(unknown) or "(none)")
    meant = {name for word in given for name in _meant(word)}
    return tuple(name for name in NAMES if name in meant)


def _meant(word: str) -> tuple[str, ...]:
    plain = re.sub(r"[\s_]+", "-", word.strip().lower())
    if plain in _BY_NAME:
        return (plain,)
    if match := _MAJOR.fullmatch(plain):
        return (f"tensorrt-{match[1]}",)
    return _ALIASES.get(plain, ())


def _unknown(words: str) -> InputError:
    return InputError(f"target {words} is not known", f"use {', '.join(NAMES)}, or ort or tensorrt for a whole family")
