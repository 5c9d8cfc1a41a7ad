"""Opening the models that a search makes, which may be beyond protobuf's 2 GB with their weights."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import ModelProto

from ....runtime.sessions.ort import OrtSession

# Protobuf's limit, less some room for the graph itself.
_LARGEST_MESSAGE = 2**31 - 2**24


def open_model(model: ModelProto) -> OrtSession:
    """A session on ONNX Runtime's CPU provider. Raises StageError for a model that it refuses."""
    if model.ByteSize() < _LARGEST_MESSAGE:
        return OrtSession(model.SerializeToString(), spin=False)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save_model(model, str(path), save_as_external_data=True)
        return OrtSession(path, spin=False)
