"""Models on disk: weights in the file, or beside it where protobuf's 2 GB would not hold them."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto

ONE_FILE = 2**31 - 2**26
"""Protobuf's 2 GB, less room for the graph itself."""


def save_model(model: ModelProto, path: Path, limit: int = ONE_FILE) -> tuple[Path, ...]:
    """Write a model, its weights in ``NAME.onnx.data`` beside it where it has ``limit`` bytes; the files, model first.

    The model is not changed. ``onnx.load(path)`` reads either form.
    """
    if model.ByteSize() < limit:
        onnx.save(model, path)
        return (path,)
    data = path.with_name(f"{path.name}.data")
    data.unlink(missing_ok=True)  # onnx appends to what is there
    light = ModelProto()
    light.CopyFrom(model)
    onnx.save_model(light, path, save_as_external_data=True, location=data.name, size_threshold=1024)
    return path, data
