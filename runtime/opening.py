"""A session for a file of a bundle, as the stage that the manifest names for it ran it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import MissingBackendError
from .bundle import Bundle
from .device import cuda_device
from .sections import EngineRecord
from .sessions import Session
from .sessions.open import open_session
from .sessions.tensorrt import load_library

EMULATED = "emulated"  # how the stages are named that round to FP16 or BF16 after every node, as a GPU does
_ANY_GPU = "current"  # "the one that it was built beside", which only the plan itself knows


def open_stage(bundle: Bundle, stage: str, file: str, note: Callable[[str], None]) -> tuple[Session, str]:
    """A session for a stage's file, in the types of the bundle, and what it is, in words.

    Raises MissingBackendError for what only is not here.
    """
    path = bundle.file(file)
    wanted = {spec.name: spec.dtype for spec in bundle.manifest.outputs}
    engine = next((e for e in bundle.manifest.engines if e.file == file), None)
    if engine is not None:
        return _open_engine(path, engine, wanted), f"TensorRT, {engine.flavour}"
    if not stage.startswith(EMULATED):
        return open_session(path, "onnxruntime", wanted), "onnxruntime, CPU"
    if importlib.util.find_spec("onnx") is None:
        note(
            f"{file}: the package onnx is not installed, so 16-bit storage is not emulated, and onnxruntime alone, "
            "which computes in FP32 between casts, has run it; pip install onnx for both"
        )
        raise MissingBackendError("the package onnx is not installed")
    kind = "BF16" if stage.endswith("bf16") else "FP16"
    return open_session(path, EMULATED, wanted), f"onnxruntime, CPU, rounded to {kind} after every node"


def _open_engine(path: Path, record: EngineRecord, wanted: Mapping[str, str]) -> Session:
    """Say what is missing before TensorRT does. Raises MissingBackendError for all that only is not here."""
    device = cuda_device()
    if device is None:
        raise MissingBackendError("no GPU")
    name, capability = device
    built_for = (record.compute_capability or _ANY_GPU).split(", ")
    if capability not in built_for and _ANY_GPU not in built_for:
        raise MissingBackendError(
            f"built for compute capability {record.compute_capability}, and {name} has {capability}"
        )
    version = str(load_library(record.flavour).__version__)
    if version.split(".")[:2] != record.version.split(".")[:2]:
        raise MissingBackendError(f"built by TensorRT {record.version}, and {version} is installed")
    return open_session(path, record.flavour, wanted)
