"""A session of ONNX Runtime."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AttnexportError, InputError, MissingBackendError, StageError
from .. import whereabouts
from ..closing import Closing
from ..spec import DTYPES
from .providers import CPU, CUDA, RECORD, RTX, TENSORRT, Placement, Provider, rtx_devices

# ONNX Runtime's names of element types; bfloat16 and others have no NumPy dtype and keep ORT's name.
_DTYPES = {f"tensor({dtype})": dtype for dtype in DTYPES} | {"tensor(float)": "float32", "tensor(double)": "float64"}

_DEFAULTS = {CUDA: {"use_tf32": "0"}}


class OrtSession(Closing):
    """One ONNX model in ONNX Runtime.

    ``optimize=False`` runs the graph unchanged. ``threads``: intra-op threads, None for ORT's
    default; ``spin=False`` lets them sleep between runs, for sessions that take turns.
    ``prepack=False`` maps the weights from the file instead of copying them, which is slower.
    ``providers``: names or :class:`Provider` with options, the preferred one first. A provider that
    does not start is an error; ORT itself would silently fall back to the CPU. ``placement`` counts
    the nodes of each provider, None for the CPU alone.

    Raise MissingBackendError without onnxruntime or the provider, InputError for a missing file,
    StageError for a model that ORT refuses.
    """

    def __init__(
        self,
        model: str | Path | bytes,
        *,
        optimize: bool = True,
        threads: int | None = None,
        spin: bool = True,
        prepack: bool = True,
        providers: Sequence[str | Provider] = (CPU,),
    ) -> None:
        ort = _onnxruntime()
        chosen = [p if isinstance(p, Provider) else Provider(p, _DEFAULTS.get(p, {})) for p in providers]
        names = [p.name for p in chosen]
        offered = ort.get_available_providers()
        if absent := [name for name in names if name not in offered and name != RTX]:
            raise MissingBackendError(
                f"onnxruntime {ort.__version__} has no {absent[0]} (it has {', '.join(offered)})",
                "install it with: pip install onnxruntime-gpu",
            )
        if not isinstance(model, bytes) and not Path(model).is_file():
            raise InputError(f"model {model} does not exist")
        self._name = "the model" if isinstance(model, bytes) else Path(model).name
        whereabouts.at_work("ONNX Runtime, which loads", self._name)
        options = _options(ort, optimize=optimize, threads=threads, spin=spin, prepack=prepack)
        if names != [CPU]:
            options.add_session_config_entry(*RECORD)
            _load_cuda(ort)
        self._session: Any = _load(ort, model, self._name, options, chosen)
        active = self._session.get_providers()
        if idle := [name for name in names if name not in active]:
            raise MissingBackendError(
                f"{idle[0]} of onnxruntime {ort.__version__} did not start", "attnexport doctor prints what is missing"
            )
        self.placement = Placement.of(self._session) if names != [CPU] else None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.input_names: tuple[str, ...] = tuple(i.name for i in inputs)
        self.output_names: tuple[str, ...] = tuple(o.name for o in outputs)
        self._takes, self._gives = frozenset(self.input_names), list(self.output_names)
        self.input_dtypes = {i.name: _DTYPES.get(i.type, i.type) for i in inputs}
        self.output_dtypes = {o.name: _DTYPES.get(o.type, o.type) for o in outputs}

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return outputs by name. Raise InputError for missing or unknown inputs, StageError if ORT fails."""
        if self._session is None:
            raise RuntimeError("the session is closed")
        if feeds.keys() != self._takes:
            raise InputError(f"{self._name} takes {', '.join(self.input_names)}, not {', '.join(feeds) or 'nothing'}")
        whereabouts.at_work("ONNX Runtime, which runs", self._name)
        try:
            values = self._session.run(self._gives, feeds if type(feeds) is dict else dict(feeds))
        except Exception as error:  # ORT's exceptions have no common base class
            raise StageError("onnxruntime", f"{self._name} failed: {_reason(error)}") from error
        return dict(zip(self._gives, values))  # noqa: B905  # equal lengths; strict costs half a microsecond

    @property
    def bare(self) -> Any:
        """ONNX Runtime's InferenceSession, None once closed."""
        return self._session

    def close(self) -> None:
        """Free the model."""
        self._session = None


def _options(ort: Any, *, optimize: bool, threads: int | None, spin: bool, prepack: bool) -> Any:
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.log_severity_level = 4  # fatal errors are raised; ORT prints the others to stderr
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _load(ort: Any, model: str | Path | bytes, name: str, options: Any, providers: Sequence[Provider]) -> Any:
    """Return ONNX Runtime's session. Raise MissingBackendError if a provider does not start, StageError for another error."""
    names = [p.name for p in providers]
    arguments: dict[str, Any] = {"providers": [(p.name, p.options) for p in providers]}
    if RTX in names:  # a plug-in is selected by its devices, and no provider may be named beside it
        options.add_provider_for_devices(rtx_devices(ort)[:1], providers[names.index(RTX)].options)
        arguments = {}
    source = model if isinstance(model, bytes) else str(model)
    try:
        # ORT's fallback would print, and leave a session on the CPU that should run on a GPU.
        return ort.InferenceSession(source, options, enable_fallback=0, **arguments)
    except Exception as error:  # ORT's exceptions have no common base class
        if type(error).__name__ == "EPFail" or (TENSORRT in names and "TensorRT libraries" in str(error)):
            raise MissingBackendError(
                f"{names[0]} of onnxruntime {ort.__version__} did not start: {_reason(error)}",
                "attnexport doctor prints what is missing",
            ) from error
        raise StageError("onnxruntime", f"{name} cannot be loaded: {_reason(error)}") from error


def _onnxruntime() -> Any:
    remedy = "install it with: pip install onnxruntime"
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingBackendError("onnxruntime is not installed", remedy) from error
    except (ImportError, OSError) as error:
        raise MissingBackendError(f"onnxruntime cannot be imported ({error})", remedy) from error
    return onnxruntime


def _load_cuda(ort: Any) -> None:
    """Load CUDA and cuDNN from their pip packages (``onnxruntime-gpu[cuda,cudnn]``), which the system's loader does not search."""
    preload = getattr(ort, "preload_dlls", None)  # ONNX Runtime 1.21 on
    if preload is not None:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints each missing library; the session reports them
            preload()


def _reason(error: Exception) -> str:
    """ORT's message without the prefix ``[ONNXRuntimeError] : 1 : FAIL : ``, as one line of at most 300 characters."""
    text = AttnexportError(str(error)).problem
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    return text if len(text) <= 300 else f"{text[:297]}..."
