"""Open a session by the name of its backend."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..closing import Closing
from . import Session
from .emulated import open_emulated
from .large_model import is_heavy
from .ort import OrtSession
from .tensorrt import TensorRTSession

BACKENDS = ("onnxruntime", "emulated", "enterprise", "rtx")


def open_session(
    path: str | Path, backend: str, outputs: Mapping[str, str] | None = None, *, spin: bool = True
) -> Session:
    """Open a session over a file by one of ``BACKENDS``: a model, or an engine of that TensorRT.

    ``emulated`` rounds to the model's 16-bit types after every node, as a GPU does. ``outputs`` are
    dtypes by name: a model with FP16 inputs and outputs then takes float32 and returns these types.
    ``spin=False`` lets ONNX Runtime's threads sleep between runs. Raise InputError for an unknown
    backend, and the errors of the backend.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r} is not known", f"use one of {', '.join(BACKENDS)}")
    session: OrtSession | TensorRTSession
    if backend == "onnxruntime":
        # One of several under test is run a few times only.
        session = OrtSession(path, spin=spin, prepack=spin or not is_heavy(Path(path)))
    elif backend == "emulated":
        session = open_emulated(path)
    else:
        session = TensorRTSession(path, backend)
    if outputs is None:
        return session
    return CastSession(session, session.input_dtypes, outputs)


class CastSession(Closing):
    """A session that takes floats of any type, and returns floats of the given types."""

    def __init__(self, session: Session, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> None:
        self._session, self._inputs, self._outputs = session, inputs, outputs
        self.input_names: tuple[str, ...] = session.input_names
        self.output_names: tuple[str, ...] = session.output_names

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return outputs by name for inputs by name; raise the session's errors."""
        cast = {name: _as(array, self._inputs.get(name)) for name, array in feeds.items()}
        return {name: _as(array, self._outputs.get(name)) for name, array in self._session.run(cast).items()}

    def close(self) -> None:
        """Close the session."""
        self._session.close()


def _as(array: np.ndarray, dtype: str | None) -> np.ndarray:
    """Cast floats to another float type. Other arrays stay, and the session checks them."""
    if dtype is None or array.dtype.kind != "f" or np.dtype(dtype).kind != "f":
        return array
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)
