"""A session for a file of a bundle, opened as the stage of the manifest that ran it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from ...errors import MissingBackendError
from ..bundle.bundle import StoredBundle
from ..sessions import Session
from ..sessions.open import open_session
from .engine_fit import Here, check_fit

EMULATED = "emulated"  # how the stages are named that round to FP16 or BF16 after every node, as a GPU does


def open_stage(bundle: StoredBundle, stage: str, file: str, note: Callable[[str], None]) -> tuple[Session, str]:
    """Return a session for a stage's file, in the types of the bundle, and a description of it.

    Raise MissingBackendError for a backend that is not installed, ForeignEngineError for an engine
    of another machine.
    """
    path = bundle.file(file)
    dtypes = {spec.name: spec.dtype for spec in bundle.manifest.outputs}
    engine = next((e for e in bundle.manifest.engines if e.file == file), None)
    if engine is not None:
        here = Here.look()
        if here is None:
            raise MissingBackendError("no GPU")
        check_fit(bundle.path, engine, bundle.manifest.gpu, here)
        return open_session(path, engine.flavour, dtypes), f"TensorRT, {engine.flavour}"
    if not stage.startswith(EMULATED):
        return open_session(path, "onnxruntime", dtypes), "onnxruntime, CPU"
    if importlib.util.find_spec("onnx") is None:
        note(
            f"{file}: the package onnx is not installed, so 16-bit storage is not emulated, and onnxruntime alone, "
            "which computes in FP32 between casts, has run it; pip install onnx for both"
        )
        raise MissingBackendError("the package onnx is not installed")
    kind = "BF16" if stage.endswith("bf16") else "FP16"
    return open_session(path, EMULATED, dtypes), f"onnxruntime, CPU, rounded to {kind} after every node"
