"""A bundle, open: one way to run it over every backend, with its inputs and outputs as the manifest describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .sessions import Session
from .sessions.feeding import host_array
from .sessions.placement import Placement
from .spec import TensorSpec, check_feeds

_SEEN = 256
"""How many combinations of shapes are remembered as good."""


class OpenBundle:
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
        self._takes_devices = takes_devices
        self._seen: set[tuple[Any, ...]] = set()

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
        # Shapes that passed once pass again: the whole check takes longer than a small model.
        try:
            key = tuple([(type(a), a.shape, a.dtype) for a in map(feeds.__getitem__, self.input_names)])
            known = key in self._seen and len(feeds) == len(key)
        except (KeyError, AttributeError, TypeError):
            known = False
        return self._run(feeds if known else self._admitted(feeds))

    def _admitted(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("the session is closed")
        if self._takes_devices:
            return dict(feeds)  # the session itself holds them to its profiles
        arrays = {name: host_array(name, value) for name, value in feeds.items()}
        check_feeds(self.inputs, arrays)
        if all(type(value) is np.ndarray for value in feeds.values()):
            if len(self._seen) >= _SEEN:
                self._seen.clear()
            self._seen.add(tuple((np.ndarray, arrays[n].shape, arrays[n].dtype) for n in self.input_names))
        return arrays

    def close(self) -> None:
        """Free the model; a second call does nothing."""
        if self._session is not None:
            self._session.close()
            self._session = None
            self._seen.clear()

    def __enter__(self) -> OpenBundle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        shapes = ", ".join(spec.describe() for spec in self.inputs)
        return f"<{self.file} on {self.how}: {shapes} -> {', '.join(self.output_names)}>"
