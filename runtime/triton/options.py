"""The options of a model repository, and the record of a written model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..open.select import BACKENDS as SESSIONS
from ..open.select import PRECISIONS, TORCH

BACKENDS = ("auto", "python", "onnxruntime", "tensorrt")
DEVICES = ("auto", "cpu", "gpu")


@dataclass(frozen=True)
class RepositoryOptions:
    """How bundles become models.

    ``backend``: python, onnxruntime, tensorrt, or auto, which takes a native one if ``backends``,
    the directory of Triton's backends, has it. ``session`` and ``precision`` are opened by the
    Python backend (:func:`~attnexport.runtime.open.select.open_bundle`); ``precision`` also chooses
    a native backend's file. ``threads``: ONNX Runtime's threads per operator; by default the
    instances share the cores.

    ``name`` replaces the bundle's name, ``version`` the next free number; ``keep`` is the number of
    newest versions to serve, 0 for all. ``max_batch`` may lower the bundle's, ``batch_axis`` is the
    symbol of the axis along which requests are grouped, ``delay`` the microseconds that a request
    may wait for others, ``max_queue`` the number of requests that may wait. ``instances`` is the
    number of parallel copies on ``device`` (of native backends; a session of the Python backend has
    its own). ``labels`` is a file with the name of a class per line, ``beam`` the width of a
    sequence model's search. ``reconfigure`` allows changes of an existing model's configuration
    that clients do not see.
    """

    backend: str = "auto"
    session: str = "auto"
    precision: str | None = None
    threads: int | None = None
    name: str | None = None
    version: int | None = None
    keep: int = 1
    max_batch: int | None = None
    batch_axis: str = "batch"
    delay: int = 0
    max_queue: int | None = None
    instances: int = 1
    device: str = "auto"
    warmup: bool = True
    labels: Path | None = None
    beam: int = 1
    backends: Path | None = None
    reconfigure: bool = False

    def __post_init__(self) -> None:
        sessions = tuple(name for name in SESSIONS if name != TORCH)
        for option, value, known in (
            ("backend", self.backend, BACKENDS),
            ("session", self.session, sessions),
            ("device", self.device, DEVICES),
            ("precision", self.precision, (None, *PRECISIONS)),
        ):
            if value not in known:
                raise InputError(f"{option} {value!r} is not known", f"use one of {', '.join(k for k in known if k)}")
        for option, number, least in (
            ("threads", self.threads, 1), ("version", self.version, 1), ("keep", self.keep, 0), ("max-batch", self.max_batch, 1),
            ("delay", self.delay, 0), ("max-queue", self.max_queue, 1), ("instances", self.instances, 1), ("beam", self.beam, 1),
        ):  # fmt: skip
            if number is not None and number < least:
                raise InputError(f"--{option} {number} is below {least}", f"give {least} or more")


@dataclass(frozen=True)
class WrittenModel:
    """One version of one model: ``folder`` is REPO/NAME, ``bundle`` its source, ``max_batch`` 0 if requests are not grouped.

    ``backend``: python, onnxruntime, tensorrt or ensemble. ``role``: model; of a sequence model
    ensemble, encoder or decode, and clients call the ensemble. ``how`` describes what runs,
    ``notes`` are remarks for the user.
    """

    name: str
    version: int
    backend: str
    folder: Path
    bundle: Path
    max_batch: int
    role: str = "model"
    how: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**self.__dict__, "folder": str(self.folder), "bundle": str(self.bundle), "notes": list(self.notes)}
