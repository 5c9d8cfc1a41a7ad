"""A session over a bundle: one ``run`` for every backend, with inputs and outputs as the manifest describes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import AttnexportError
from ..closing import Closing
from ..sessions import Session
from ..sessions.dlpack import host_array
from ..sessions.ort import OrtSession
from ..sessions.providers import Placement
from ..spec import TensorSpec, check_feeds

_Free = tuple[str, int, int, int, tuple[tuple[str, int], ...]]


@dataclass(frozen=True)
class SessionInfo:
    """What a session runs: the ``backend``'s name, the ``file`` of the bundle, and ``how`` in words for messages.

    ``placement`` counts the nodes of each provider, None if only one takes part. ``notes`` explain
    the choice of the backend. ``takes_devices``: the session reads tensors on a GPU itself and
    checks its inputs itself.
    """

    backend: str
    file: str
    how: str
    placement: Placement | None = None
    notes: tuple[str, ...] = ()
    takes_devices: bool = False


class BundleSession(Closing):
    """The session that :func:`attnexport.open` returns. Use it in a ``with`` block, or close it::

        with attnexport.open("digits.attn") as session:
            logits = session.run({"x": images})["logits"]

    ``inputs`` and ``outputs`` are specs with names, dtypes and axes. ``backend``, ``file``,
    ``how``, ``placement`` and ``notes`` are those of :class:`SessionInfo`.
    """

    def __init__(
        self, session: Session, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], info: SessionInfo
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.input_names = tuple(spec.name for spec in inputs)
        self.output_names = tuple(spec.name for spec in outputs)
        self.backend, self.file, self.how, self.placement, self.notes = (
            info.backend, info.file, info.how, info.placement, info.notes
        )  # fmt: skip
        self._session: Session | None = session
        self._run = session.run
        self._quick = isinstance(session, OrtSession)
        self._takes_devices = info.takes_devices
        self._free = _free_axes(inputs)

    @property
    def session(self) -> Session:
        """The backend's session. Raise RuntimeError if it is closed."""
        if self._session is None:
            raise RuntimeError("the session is closed")
        return self._session

    def run(self, feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Run the model on inputs by name and return its outputs by name, as NumPy arrays.

        Inputs are NumPy arrays, or tensors of any library with DLPack (torch, CuPy, JAX), which are
        not copied. Raise InputError for a missing or unknown input, a wrong dtype, or a shape
        outside the ranges of the bundle.
        """
        try:
            if self._quick and self._in_range(feeds):
                return self._run(feeds)
        except (AttnexportError, LookupError, AttributeError, TypeError):
            pass  # the checks below report the error, or convert the inputs
        return self._run(self._admitted(feeds))

    def _in_range(self, feeds: Mapping[str, Any]) -> bool:
        """Whether the free axes are within their ranges. ONNX Runtime itself checks names, ranks, dtypes and fixed sizes."""
        for name, axis, low, high, others in self._free:
            size = feeds[name].shape[axis]
            if not low <= size <= high:
                return False
            for other, place in others:
                if feeds[other].shape[place] != size:
                    return False
        return True

    def _admitted(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("the session is closed")
        if self._takes_devices:
            return dict(feeds)  # the session checks them against its profiles
        arrays = {name: host_array(name, value) for name, value in feeds.items()}
        check_feeds(self.inputs, arrays)
        return arrays

    def close(self) -> None:
        """Free the model. A second call does nothing."""
        if self._session is not None:
            self._session.close()
            self._session = None
            self._quick = False

    def __repr__(self) -> str:
        shapes = ", ".join(spec.describe() for spec in self.inputs)
        return f"<{self.file} on {self.how}: {shapes} -> {', '.join(self.output_names)}>"


def _free_axes(inputs: Sequence[TensorSpec]) -> list[_Free]:
    """For each symbol: the first input and axis that have it, min, max, and the other axes of the same size."""
    places: dict[str, list[tuple[str, int]]] = {}
    ranges: dict[str, tuple[int, int]] = {}
    for spec in inputs:
        for i, axis in enumerate(spec.axes):
            if axis.symbol is not None:
                places.setdefault(axis.symbol, []).append((spec.name, i))
                ranges[axis.symbol] = (axis.min, axis.max)
    return [(*axes[0], *ranges[symbol], tuple(axes[1:])) for symbol, axes in places.items()]
