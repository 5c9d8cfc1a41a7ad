"""A graph on ONNX Runtime, for every contender that is an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ....runtime.sessions.open import CastSession
from ....runtime.sessions.ort import OrtSession
from .contender import Call, Feeds, Runner

if TYPE_CHECKING:
    from ..site import Site


class OrtRunner:
    """A session on the CPU provider with the input and output types of the bundle."""

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, site: Site) -> None:
        self._session = OrtSession(path, threads=site.threads)
        outputs = {spec.name: spec.dtype for spec in site.model.outputs}
        inputs = {spec.name: spec.dtype for spec in site.model.inputs}
        same = self._session.input_dtypes == inputs and outputs.items() <= self._session.output_dtypes.items()
        self._runs = self._session if same else CastSession(self._session, self._session.input_dtypes, outputs)
        self._names = tuple(outputs)

    def call(self, feeds: Feeds) -> Call:
        """Bind the session to the inputs, without the graph's attention maps."""
        run = self._runs.run
        return Call(lambda: run(feeds), lambda: {name: run(feeds)[name] for name in self._names})

    def close(self) -> None:
        """Free the session."""
        self._session.close()


def open_graph(path: Path, site: Site) -> Runner:
    """Open the graph on the site's device. Raises MissingBackendError and StageError as the session does."""
    if site.device == "cuda":
        from .on_cuda import open_on_cuda

        return open_on_cuda(path, site)
    return OrtRunner(path, site)


def provider_absent(site: Site) -> str | None:
    """Return why ONNX Runtime cannot run on the site's device, None if it can."""
    try:
        import onnxruntime
    except ImportError as error:
        return f"onnxruntime cannot be imported ({error}): pip install onnxruntime"
    if site.device == "cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return f"onnxruntime {onnxruntime.__version__} has no CUDA provider: pip install onnxruntime-gpu"
    return None
