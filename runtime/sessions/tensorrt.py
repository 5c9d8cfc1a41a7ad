"""A TensorRT engine, of the enterprise library or TensorRT-RTX, behind the session protocol.

Device memory comes from the CUDA driver itself (``cuda.py``), so neither torch nor cuda-python is needed. Whether
FP32 layers may use TF32 was settled when the engine was built; nothing here can turn it on or off.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...errors import BundleError, InputError, StageError
from ..cuda import Context, Driver
from .trt_library import check_supported, collector, load_library


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
        log = collector(module)
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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"engine {path} cannot be read ({error.strerror or error})") from error
