"""A graph on ONNX Runtime's CUDA provider, on the site's stream, with inputs and outputs in GPU memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import StageError, first_line
from ....runtime.sessions.placement import RECORD, Placement
from ....runtime.sessions.providers import CPU, CUDA
from .contender import Call, Feeds

if TYPE_CHECKING:
    from ..site import Site


class BoundRunner:
    """A session with inputs and outputs on ``device``. Nodes that CUDA does not support run on the CPU, with a note.

    Raises StageError if the session cannot be created or its first provider does not start.
    """

    def __init__(self, path: Path, site: Site, device: str, providers: list[tuple[str, dict[str, str]]]) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = site.threads
        options.add_session_config_entry(*RECORD)
        try:
            self._session: Any = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise StageError("onnxruntime", f"{path.name} cannot be loaded: {first_line(error)}") from error
        first = providers[0][0]
        if first not in self._session.get_providers():
            raise StageError("onnxruntime", f"{first} did not start", "run attnexport doctor to see what is missing")
        placement = Placement.of(self._session)
        on_cpu = placement.on_cpu() if placement is not None and first != CPU else ""
        self.notes: tuple[str, ...] = (on_cpu,) if on_cpu else ()
        self._ort, self._device = ort, device
        self._types = {value.name: value.type for value in self._session.get_inputs()}
        self._names = [value.name for value in self._session.get_outputs()]
        self._dtypes = {spec.name: spec.numpy_dtype for spec in site.model.outputs}

    def call(self, feeds: Feeds) -> Call:
        """Copy the inputs to the device; every run allocates the outputs there."""
        binding = self._session.io_binding()
        for name, array in feeds.items():
            value = array.astype(np.float16) if self._types[name] == "tensor(float16)" else array
            binding.bind_ortvalue_input(name, self._ort.OrtValue.ortvalue_from_numpy(value, self._device, 0))
        for name in self._names:
            binding.bind_output(name, self._device)

        def run() -> None:
            self._session.run_with_iobinding(binding)

        def outputs() -> dict[str, np.ndarray]:
            run()
            arrays = dict(zip(self._names, binding.copy_outputs_to_cpu(), strict=True))
            return {name: arrays[name].astype(dtype, copy=False) for name, dtype in self._dtypes.items()}

        return Call(run, outputs)

    def close(self) -> None:
        """Free the session."""
        self._session = None


def open_on_cuda(path: Path, site: Site) -> BoundRunner:
    """Open the graph on the site's stream, without TF32, with an exhaustive search for convolutions."""
    cuda = {"use_tf32": "0", "user_compute_stream": str(site.cuda.stream), "cudnn_conv_algo_search": "EXHAUSTIVE"}
    return BoundRunner(path, site, "cuda", [(CUDA, cuda), (CPU, {})])
