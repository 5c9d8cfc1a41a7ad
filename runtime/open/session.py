"""A bundle, open: one way to run it over every backend, with its inputs and outputs as the manifest describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import AttnexportError
from ..sessions import Session
from ..sessions.feeding import host_array
from ..sessions.ort import OrtSession
from ..sessions.placement import Placement
from ..spec import TensorSpec, check_feeds

_Free = tuple[str, int, int, int, tuple[tuple[str, int], ...]]


class BundleSession:
    """What :func:`attnexport.open` gives. Use it in a ``with`` block, or close it::

        with attnexport.open("digits.attn") as session:
            logits = session.run({"x": images})["logits"]

    ``inputs`` and ``outputs`` are specs with names, dtypes and axes. ``backend`` and ``file`` say what runs which file,
    ``how`` the same in words, ``notes`` what one should know of the choice. ``placement`` counts the nodes by provider
    where several take part, else it is None.
    """

    def __init__(
        self,
        session: Session,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        backend: str,
        file: str,
        how: str,
        placement: Placement | None = None,
        notes: tuple[str, ...] = (),
        takes_devices: bool = False,
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.input_names = tuple(spec.name for spec in inputs)
        self.output_names = tuple(spec.name for spec in outputs)
        self.backend, self.file, self.how, self.placement, self.notes = backend, file, how, placement, notes
        self._session: Session | None = session
        self._run = session.run
        self._quick = isinstance(session, OrtSession)
        self._takes_devices = takes_devices
        self._free = _free_axes(inputs)

    @property
    def session(self) -> Session:
        """The backend's own session. Raises RuntimeError once closed."""
        if self._session is None:
            raise RuntimeError("the session is closed")
        return self._session

    def run(self, feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Outputs by name, as NumPy arrays, for inputs by name.

        Inputs are NumPy arrays, or tensors of any library that speaks DLPack (torch, CuPy, JAX), which are not copied.
        Raises InputError for a missing or unknown input, a wrong dtype, and a shape that the bundle was not made for.
        """
        try:
            if self._quick and self._in_range(feeds):
                return self._run(feeds)
        except (AttnexportError, LookupError, AttributeError, TypeError):
            pass  # what is wrong is said below, and what only has to be converted is
        return self._run(self._admitted(feeds))

    def _in_range(self, feeds: Mapping[str, Any]) -> bool:
        """What ONNX Runtime does not look at itself. It refuses names, ranks, dtypes and fixed sizes, so no time goes there."""
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
            return dict(feeds)  # the session itself holds them to its profiles
        arrays = {name: host_array(name, value) for name, value in feeds.items()}
        check_feeds(self.inputs, arrays)
        return arrays

    def close(self) -> None:
        """Free the model; a second call does nothing."""
        if self._session is not None:
            self._session.close()
            self._session = None
            self._quick = False

    def __enter__(self) -> BundleSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        shapes = ", ".join(spec.describe() for spec in self.inputs)
        return f"<{self.file} on {self.how}: {shapes} -> {', '.join(self.output_names)}>"


def _free_axes(inputs: Sequence[TensorSpec]) -> list[_Free]:
    """For each symbol, input and axis where it comes first, min, max, and the other places that have the same size."""
    places: dict[str, list[tuple[str, int]]] = {}
    ranges: dict[str, tuple[int, int]] = {}
    for spec in inputs:
        for i, axis in enumerate(spec.axes):
            if axis.symbol is not None:
                places.setdefault(axis.symbol, []).append((spec.name, i))
                ranges[axis.symbol] = (axis.min, axis.max)
    return [(*found[0], *ranges[symbol], tuple(found[1:])) for symbol, found in places.items()]
