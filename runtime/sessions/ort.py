"""ONNX Runtime behind the session protocol."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AttnexportError, InputError, MissingBackendError, StageError
from .placement import RECORD, Placement
from .providers import CPU, CUDA, RTX, TENSORRT, Provider, rtx_devices

# ONNX Runtime's spelling of element types; bfloat16 and the like have no NumPy dtype and keep ORT's own word.
_DTYPES = {
    "tensor(float16)": "float16", "tensor(float)": "float32", "tensor(double)": "float64", "tensor(int8)": "int8",
    "tensor(int16)": "int16", "tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}  # fmt: skip

_DEFAULTS = {CUDA: {"use_tf32": "0"}}


class OrtSession:
    """One ONNX model in ONNX Runtime.

    ``optimize=False`` runs the graph as it is written. ``threads``: intra-op threads, None for ORT's default;
    ``spin=False`` lets them sleep between runs, for sessions that take turns. ``prepack=False`` leaves weights as they lie in the
    file, mapped and not copied, and is slower. ``providers``: names, or with options, the
    wanted one first. A provider that is asked for and not active is an error: ORT itself would quietly fall back to the CPU.
    ``placement`` says which nodes each provider runs, where more than the CPU was asked for.

    Raises MissingBackendError without onnxruntime or the provider, InputError for a missing file, StageError for a
    model that ORT refuses.
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
        wanted = [p if isinstance(p, Provider) else Provider(p, _DEFAULTS.get(p, {})) for p in providers]
        names = [p.name for p in wanted]
        offered = ort.get_available_providers()
        if absent := [name for name in names if name not in offered and name != RTX]:
            raise MissingBackendError(
                f"onnxruntime {ort.__version__} has no {absent[0]} (it has {', '.join(offered)})",
                "install it with: pip install onnxruntime-gpu",
            )
        if not isinstance(model, bytes) and not Path(model).is_file():
            raise InputError(f"model {model} does not exist")
        self._name = "the model" if isinstance(model, bytes) else Path(model).name
        options = ort.SessionOptions()
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        options.log_severity_level = 4  # what is fatal comes as an exception; ORT prints the rest to stderr
        if not spin:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if not prepack:
            options.add_session_config_entry("session.disable_prepacking", "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        if names != [CPU]:
            options.add_session_config_entry(*RECORD)
            _load_cuda(ort)
        arguments: dict[str, Any] = {"providers": [(p.name, p.options) for p in wanted]}
        if RTX in names:  # a plug-in is given by its devices, and no provider may be named beside it
            options.add_provider_for_devices(rtx_devices(ort)[:1], wanted[names.index(RTX)].options)
            arguments = {}
        source = model if isinstance(model, bytes) else str(model)
        try:
            # Its own fallback prints, and leaves a session on the CPU that was to run on a GPU.
            self._session: Any = ort.InferenceSession(source, options, enable_fallback=0, **arguments)
        except Exception as error:  # ORT's exceptions have no base of their own
            if type(error).__name__ == "EPFail" or (TENSORRT in names and "TensorRT libraries" in str(error)):
                raise MissingBackendError(
                    f"{names[0]} of onnxruntime {ort.__version__} did not start: {_reason(error)}",
                    "attnexport doctor says what it lacks",
                ) from error
            raise StageError("onnxruntime", f"{self._name} cannot be loaded: {_reason(error)}") from error
        active = self._session.get_providers()
        if idle := [name for name in names if name not in active]:
            raise MissingBackendError(
                f"{idle[0]} of onnxruntime {ort.__version__} did not start", "attnexport doctor says what it lacks"
            )
        self.placement = Placement.of(self._session) if names != [CPU] else None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.input_names: tuple[str, ...] = tuple(i.name for i in inputs)
        self.output_names: tuple[str, ...] = tuple(o.name for o in outputs)
        self._takes, self._gives = frozenset(self.input_names), list(self.output_names)
        self.input_dtypes = {i.name: _DTYPES.get(i.type, i.type) for i in inputs}
        self.output_dtypes = {o.name: _DTYPES.get(o.type, o.type) for o in outputs}

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name. Raises InputError for missing or unknown inputs, StageError where ORT fails."""
        if self._session is None:
            raise RuntimeError("the session is closed")
        if feeds.keys() != self._takes:
            raise InputError(f"{self._name} takes {', '.join(self.input_names)}, not {', '.join(feeds) or 'nothing'}")
        try:
            values = self._session.run(self._gives, feeds if type(feeds) is dict else dict(feeds))
        except Exception as error:  # as above
            raise StageError("onnxruntime", f"{self._name} failed: {_reason(error)}") from error
        return dict(zip(self._gives, values))  # noqa: B905  # as many as were asked for; strict costs half a microsecond

    @property
    def bare(self) -> Any:
        """ONNX Runtime's own InferenceSession, None once closed."""
        return self._session

    def close(self) -> None:
        """Free the model."""
        self._session = None

    def __enter__(self) -> OrtSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
    """CUDA and cuDNN as pip installs them (``onnxruntime-gpu[cuda,cudnn]``) lie where the system's loader does not look."""
    preload = getattr(ort, "preload_dlls", None)  # ONNX Runtime 1.21 on
    if preload is not None:
        with contextlib.redirect_stdout(
            io.StringIO()
        ):  # it prints what it does not find; what is missing is an error below
            preload()


def _reason(error: Exception) -> str:
    """ORT's message without its prefix ``[ONNXRuntimeError] : 1 : FAIL : ``, on one line of at most 300 characters."""
    text = AttnexportError(str(error)).problem
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    return text if len(text) <= 300 else f"{text[:297]}..."
