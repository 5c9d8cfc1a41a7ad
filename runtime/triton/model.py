"""The classes behind a repository's ``model.py``: Triton's Python backend over a session of attnexport."""

import importlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import AttnexportError, InputError
from ..bundle.bundle import StoredBundle
from ..open.select import open_bundle
from ..spec import Axis, TensorSpec
from .config import find_batch
from .grouping import Arrays, Grouping
from .warmup import rehearse

BATCH_AXIS, SESSION, PRECISION, THREADS = "batch_axis", "session", "precision", "threads"
"""Parameters of the configuration."""


class ServedModel:
    """A model in a process of the Python backend. Subclasses implement :meth:`open`."""

    bundle: Path
    """The bundle beside ``model.py``."""

    def open(self, bundle: StoredBundle, parameters: Mapping[str, str], threads: int | None) -> "Served":
        """Open the bundle."""
        raise NotImplementedError

    def initialize(self, args: dict[str, str]) -> None:
        """Verify the bundle, open it and warm it up. Triton reports an exception, and does not serve the version."""
        self._pb = importlib.import_module("triton_python_backend_utils")
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        bundle = StoredBundle.open(self.bundle)
        bundle.verify_files()
        self._served = self.open(bundle, parameters, threads_for(config, parameters))
        self._group = Grouping(
            self._served.run, self._served.inputs, self._served.batch if config["max_batch_size"] > 0 else None
        )
        rehearse(self._group, self._served.inputs, config, Path(args["model_repository"]))
        for line in (f"{args['model_name']} version {args['model_version']}: {self._served.how}", *self._served.notes):
            self._pb.Logger.log_info(line)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return one response per request: its outputs, or its error."""
        pb = self._pb
        names = [spec.name for spec in self._served.inputs]
        feeds = [{n: pb.get_input_tensor_by_name(request, n).as_numpy() for n in names} for request in requests]
        return [self._response(request, answer) for request, answer in zip(requests, self._group(feeds), strict=True)]

    def _response(self, request: Any, answer: Arrays | AttnexportError) -> Any:
        pb = self._pb
        if isinstance(answer, AttnexportError):
            code = pb.TritonError.INVALID_ARG if isinstance(answer, InputError) else pb.TritonError.INTERNAL
            return pb.InferenceResponse(error=pb.TritonError(str(answer), code))
        names = request.requested_output_names()
        return pb.InferenceResponse([pb.Tensor(name, answer[name]) for name in names])

    def finalize(self) -> None:
        """Close the session."""
        if hasattr(self, "_served"):
            self._served.close()


@dataclass(frozen=True)
class Served:
    """A function to run, with its inputs, the batch of a run, and remarks for the log."""

    run: Callable[[dict[str, Any]], Arrays]
    inputs: tuple[TensorSpec, ...]
    batch: Axis | None
    close: Callable[[], None]
    how: str
    notes: tuple[str, ...] = ()


class BundleModel(ServedModel):
    """A bundle of one graph, on any session that ``attnexport.open`` knows."""

    def open(self, bundle: StoredBundle, parameters: Mapping[str, str], threads: int | None) -> Served:
        """Open the bundle."""
        opened = open_bundle(
            bundle, parameters.get(SESSION, "auto"), precision=parameters.get(PRECISION), threads=threads
        )
        batch, _ = find_batch(opened.inputs, opened.outputs, parameters.get(BATCH_AXIS, "batch"))
        return Served(opened.run, opened.inputs, batch, opened.close, f"{opened.file} on {opened.how}", opened.notes)


def threads_for(config: dict[str, Any], parameters: dict[str, str]) -> int | None:
    """ONNX Runtime's threads: of the configuration, else the instances share the cores; None for all cores."""
    if THREADS in parameters:
        return int(parameters[THREADS])
    instances = sum(int(group["count"]) for group in config.get("instance_group", ()))
    return max(1, len(os.sched_getaffinity(0)) // instances) if instances > 1 else None
