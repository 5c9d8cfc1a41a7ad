"""A graph on ONNX Runtime, for every contender that is an ONNX file: here, the bundle's FP32 model and the typed ones."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import StageError, first_line
from ....runtime.sessions.open import CastSession
from ....runtime.sessions.ort import OrtSession
from ....runtime.sessions.providers import CPU, CUDA, RECORD, Placement
from .contender import Call, Contender, Feeds, Runner, fixed_precision

if TYPE_CHECKING:
    from ..site import Site


class OrtRunner(Runner):
    """A session on the CPU provider with the input and output types of the bundle."""

    def __init__(self, path: Path, site: "Site") -> None:
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


def provider_absent(site: "Site") -> str | None:
    """Return why ONNX Runtime cannot run on the site's device, None if it can."""
    try:
        import onnxruntime
    except ImportError as error:
        return f"onnxruntime cannot be imported ({error}): pip install onnxruntime"
    if site.device == "cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return f"onnxruntime {onnxruntime.__version__} has no CUDA provider: pip install onnxruntime-gpu"
    return None


class BoundRunner(Runner):
    """A session with inputs and outputs on ``device``. Nodes that CUDA does not support run on the CPU, with a note.

    Raises StageError if the session cannot be created or its first provider does not start.
    """

    def __init__(self, path: Path, site: "Site", device: str, providers: list[tuple[str, dict[str, str]]]) -> None:
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
        self.notes = (on_cpu,) if on_cpu else ()
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


def open_graph(path: Path, site: "Site") -> Runner:
    """Open the graph on the site's device. Raises MissingBackendError and StageError as the session does.

    On a GPU it runs on the site's stream, without TF32, after an exhaustive search for convolutions.
    """
    if site.device == "cpu":
        return OrtRunner(path, site)
    cuda = {"use_tf32": "0", "user_compute_stream": str(site.cuda.stream), "cudnn_conv_algo_search": "EXHAUSTIVE"}
    return BoundRunner(path, site, "cuda", [(CUDA, cuda), (CPU, {})])


_ON_CPU = ("fp32", "int8")
"""ONNX Runtime's CPU provider has no kernels of the other types: it computes them in FP32, between casts."""


def _absent(model_type: str, site: "Site") -> str | None:
    if not site.model.has(f"model-{model_type}"):
        return f"the bundle has no {model_type} model"
    if site.device == "cpu" and model_type not in _ON_CPU:
        return f"ONNX Runtime's CPU provider computes {model_type} in FP32, so its time is meaningless"
    return provider_absent(site)


def _open(model_type: str, site: "Site") -> Runner:
    return open_graph(site.model.file(f"model-{model_type}"), site)


CONTENDER = Contender("attnexport", "attnexport, ONNX Runtime", partial(_absent, "fp32"), partial(_open, "fp32"))
TYPED = tuple(
    Contender(
        f"attnexport-{model_type}", f"attnexport {model_type}, ONNX Runtime", partial(_absent, model_type),
        partial(_open, model_type), precision=fixed_precision(model_type), common=False,
    )
    for model_type in ("fp16", "bf16", "int8", "fp8")
)  # fmt: skip
