"""A TensorRT engine, of the enterprise library or TensorRT-RTX, behind the session protocol.

Device memory comes from the CUDA driver itself (``cuda.py``), so neither torch nor cuda-python is needed. Whether
FP32 layers may use TF32 was settled when the engine was built; nothing here can turn it on or off.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BundleError, InputError, MissingBackendError, StageError
from ..cuda import Context, Driver

_MODULES = {"enterprise": ("tensorrt", "trt"), "rtx": ("tensorrt_rtx", "rtx")}


class TensorRTSession:
    """One engine on the first GPU, in its first optimization profile, which must hold the inputs' shapes.

    ``flavour``: enterprise or rtx. Raises InputError for another or a missing file, MissingBackendError without the
    library, a driver, or a GPU that the library knows, BundleError for a plan that the library refuses (another
    version, another GPU, damage).
    """

    def __init__(self, engine: str | Path | bytes, flavour: str) -> None:
        self._name = "the engine" if isinstance(engine, bytes) else Path(engine).name
        plan = engine if isinstance(engine, bytes) else _read(Path(engine))
        module = load_library(flavour)
        driver = Driver()
        check_supported(module, driver.name(), driver.compute_capability())
        log = _collector(module)
        self._context = Context(driver)
        try:
            self._runtime = module.Runtime(log)
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise BundleError(
                    f"{self._name} cannot be loaded by {module.__name__} {module.__version__} on {driver.name()}, "
                    f"compute capability {driver.compute_capability()}: {log.first()}",
                    "build the engine for this GPU and version",
                )
            self._execution = self._engine.create_execution_context()
            if self._execution is None:
                raise StageError("tensorrt", f"{self._name} has no execution context: {log.first()}", "free GPU memory")
        except BaseException:
            self._context.close()
            raise
        self._module, self._log = module, log
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        is_input = {n: self._engine.get_tensor_mode(n) == module.TensorIOMode.INPUT for n in names}
        self.input_names: tuple[str, ...] = tuple(n for n in names if is_input[n])
        self.output_names: tuple[str, ...] = tuple(n for n in names if not is_input[n])
        self._dtypes = {n: np.dtype(module.nptype(self._engine.get_tensor_dtype(n))) for n in names}
        self.input_dtypes = {n: self._dtypes[n].name for n in self.input_names}
        self.output_dtypes = {n: self._dtypes[n].name for n in self.output_names}

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name. Raises InputError for wrong names, dtypes or shapes, StageError where the engine fails."""
        if self._execution is None:
            raise RuntimeError("the session is closed")
        if set(feeds) != set(self.input_names):
            raise InputError(f"{self._name} takes {', '.join(self.input_names)}, not {', '.join(feeds) or 'nothing'}")
        self._context.make_current()
        addresses: list[int] = []
        try:
            for name in self.input_names:
                array = np.ascontiguousarray(feeds[name])
                if array.dtype != self._dtypes[name]:
                    raise InputError(
                        f"input {name!r} of {self._name} has dtype {array.dtype}", f"give {self._dtypes[name]}"
                    )
                if not self._execution.set_input_shape(name, array.shape):
                    raise InputError(
                        f"input {name!r} of {self._name} has shape {array.shape}: {self._log.first()}",
                        "keep to the profile that the engine was built for",
                    )
                addresses.append(self._context.allocate(array.nbytes))
                self._context.upload(addresses[-1], array)
                self._execution.set_tensor_address(name, addresses[-1])
            outputs = {}
            for name in self.output_names:
                shape = tuple(self._execution.get_tensor_shape(name))
                if any(size < 0 for size in shape):
                    raise StageError(
                        "tensorrt", f"output {name!r} of {self._name} has a shape that depends on data: {shape}"
                    )
                outputs[name] = np.empty(shape, self._dtypes[name])
                addresses.append(self._context.allocate(outputs[name].nbytes))
                self._execution.set_tensor_address(name, addresses[-1])
            bound = dict(zip((*self.input_names, *self.output_names), addresses, strict=True))
            if not self._execution.execute_async_v3(self._context.stream):
                raise StageError("tensorrt", f"{self._name} failed: {self._log.first()}")
            self._context.synchronize()
            for name, array in outputs.items():
                self._context.download(array, bound[name])
            return outputs
        finally:
            for address in addresses:
                self._context.free(address)

    def close(self) -> None:
        """Free the engine and its memory."""
        if self._execution is not None:
            self._execution = self._engine = self._runtime = None
            self._context.close()

    def __enter__(self) -> TensorRTSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_supported(module: Any, name: str, capability: str) -> None:
    """RTX lists the GPUs that it runs on, and says nothing useful on others. Raises MissingBackendError for those."""
    listed = getattr(module, "ComputeCapability", None)
    if listed is not None and f"SM{capability.replace('.', '')}" not in listed.__members__:
        raise MissingBackendError(
            f"{module.__name__} {module.__version__} does not run on {name}, compute capability {capability}",
            "build an engine with enterprise TensorRT for this GPU",
        )


def load_library(flavour: str) -> Any:
    """The TensorRT module of a flavour. Raises InputError for an unknown one, MissingBackendError without it."""
    if flavour not in _MODULES:
        raise InputError(f"TensorRT flavour {flavour!r} is not known", f"use one of {', '.join(_MODULES)}")
    name, extra = _MODULES[flavour]
    remedy = f"install it with: pip install 'attnexport[{extra}]'"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingBackendError(f"{name} is not installed", remedy) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise MissingBackendError(f"{name} cannot be imported ({error})", remedy) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"engine {path} cannot be read ({error.strerror or error})") from error


def _collector(module: Any) -> Any:
    """A TensorRT logger that keeps the errors: the library's calls only return None or False."""

    class Collector(module.ILogger):  # type: ignore[misc]  # the base is known at run time only
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.Severity.ERROR, module.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

        def first(self) -> str:
            """The first error since the last call, usually the cause of the others."""
            text = self.errors[0] if self.errors else "TensorRT gives no reason"
            self.errors.clear()
            return text

    return Collector()
