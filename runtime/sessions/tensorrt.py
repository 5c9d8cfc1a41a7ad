"""A session of a TensorRT engine, of the enterprise library or TensorRT-RTX.

Device memory comes from the CUDA driver (``cuda.py``), so neither torch nor cuda-python is needed.
The build of the engine decides whether FP32 layers may use TF32; nothing here can change it.
"""

import contextlib
import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BundleError, InputError, StageError
from ..closing import Closing
from ..cuda import CudaContext, CudaDriver
from ..user_cache import write_cached_bytes
from .dlpack import DeviceArray
from .lane import Binding, Lane, Profile
from .trt_library import check_supported, collector, load_library


class TensorRTSession(Closing):
    """One engine on the first GPU. Any thread may run it: each gets its own execution context, stream and buffers.

    The optimization profile is the one that fits the inputs' shapes best. Buffers are allocated
    once, for its largest shapes. ``cuda_graph`` records the work of repeated shapes and replays it
    while they stay (TensorRT-RTX does it itself). ``cache``: a folder for the kernels that
    TensorRT-RTX compiles at the first run.

    ``flavour``: enterprise or rtx. Raise InputError for another one or a missing file,
    MissingBackendError without the library, a driver, or a supported GPU, BundleError for a plan
    that the library refuses (another version, another GPU, damage).
    """

    def __init__(
        self, engine: str | Path | bytes, flavour: str, *, cuda_graph: bool = False, cache: Path | None = None
    ) -> None:
        self._name = "the engine" if isinstance(engine, bytes) else Path(engine).name
        plan = engine if isinstance(engine, bytes) else _read(Path(engine))
        module = load_library(flavour)
        self._driver = CudaDriver()
        name, capability = self._driver.name(), self._driver.compute_capability()
        check_supported(module, name, capability)
        self._log = collector(module)
        self._context = CudaContext(self._driver)
        self._cache: RuntimeCache | None = None
        self._graphs = cuda_graph
        self._lock = threading.Lock()
        self._lanes: dict[int, Lane] = {}
        try:
            self._runtime = module.Runtime(self._log)
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise BundleError(
                    f"{self._name} cannot be loaded by {module.__name__} {module.__version__} on {name}, "
                    f"compute capability {capability}: {self._log.first()}",
                    "build the engine for this GPU and version",
                )
            self._settings = self._configured(module, cuda_graph)
            if self._settings is not None and cache is not None:
                version = f"{module.__version__} {self._driver.version()}"
                self._cache = RuntimeCache(cache_path(cache, plan, version, f"{name} {capability}"), self._settings)
            self._bindings = _bindings(module, self._engine)
            self._profiles = _profiles(self._engine, self._bindings)
            self._lane()  # fail now if the GPU's memory is too small
        except BaseException:
            self._context.close()
            raise
        self.input_names: tuple[str, ...] = tuple(b.name for b in self._bindings if b.is_input)
        self.output_names: tuple[str, ...] = tuple(b.name for b in self._bindings if not b.is_input)
        self.input_dtypes = {b.name: b.dtype.name for b in self._bindings if b.is_input}
        self.output_dtypes = {b.name: b.dtype.name for b in self._bindings if not b.is_input}

    def run(self, feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return outputs by name, in host memory. Inputs are NumPy arrays, or DLPack tensors; those on the GPU are read in place.

        Raise InputError for wrong names, dtypes or shapes, StageError if the engine fails.
        """
        return self._lane().run(feeds)

    def run_on_device(self, feeds: Mapping[str, Any]) -> dict[str, DeviceArray]:
        """As :meth:`run`, with outputs that stay on the GPU: ``torch.from_dlpack(outputs["logits"])`` takes one without a copy."""
        return self._lane().run_on_device(feeds)

    def close(self) -> None:
        """Free the engine and its memory, and save TensorRT-RTX's kernels. No thread may be running it."""
        if self._engine is None:
            return
        if self._cache is not None:
            self._context.make_current()
            self._cache.save()
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()
        self._cache = self._settings = self._engine = self._runtime = None
        self._context.close()

    def _configured(self, module: Any, cuda_graph: bool) -> Any:
        """TensorRT-RTX's runtime configuration, which records graphs itself; None for the enterprise library."""
        strategies = getattr(module, "CudaGraphStrategy", None)
        if strategies is None:
            return None
        settings = self._engine.create_runtime_config()
        if cuda_graph:
            settings.cuda_graph_strategy = strategies.WHOLE_GRAPH_CAPTURE
            self._graphs = False
        return settings

    def _lane(self) -> Lane:
        """The lane of the calling thread. Raise StageError if the GPU's memory is too small for one more."""
        if self._engine is None:
            raise RuntimeError("the session is closed")
        thread = threading.get_ident()
        lane = self._lanes.get(thread)
        if lane is not None:
            return lane
        with self._lock:
            self._forget_dead_threads()
            self._context.make_current()
            settings = () if self._settings is None else (self._settings,)
            execution = self._engine.create_execution_context(*settings)
            if execution is None:
                raise StageError(
                    "tensorrt", f"{self._name} has no execution context: {self._log.first()}", "free GPU memory"
                )
            lane = Lane(
                self._driver, execution, self._bindings, self._profiles, self._name, self._log, graphs=self._graphs
            )
            self._lanes[thread] = lane
        return lane

    def _forget_dead_threads(self) -> None:
        alive = {thread.ident for thread in threading.enumerate()}
        for thread in [t for t in self._lanes if t not in alive]:
            self._lanes.pop(thread).close()


def _bindings(module: Any, engine: Any) -> list[Binding]:
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    inputs = {name for name in names if engine.get_tensor_mode(name) == module.TensorIOMode.INPUT}
    return [Binding(n, np.dtype(module.nptype(engine.get_tensor_dtype(n))), n in inputs) for n in names]


def _profiles(engine: Any, bindings: list[Binding]) -> list[Profile]:
    inputs = [b.name for b in bindings if b.is_input]
    return [{name: _limits(engine, name, i) for name in inputs} for i in range(engine.num_optimization_profiles)]


def _limits(engine: Any, name: str, profile: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """min, opt and max of an input; all three are the shape if it is fixed."""
    shape = tuple(engine.get_tensor_shape(name))
    if -1 not in shape:
        return shape, shape, shape
    low, opt, high = (tuple(limit) for limit in engine.get_tensor_profile_shape(name, profile))
    return low, opt, high


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"engine {path} cannot be read ({error.strerror or error})") from error


def cache_path(folder: Path, plan: bytes, version: str, gpu: str) -> Path:
    """One file per plan, library version and GPU."""
    digest = hashlib.sha256(plan)
    digest.update(f"\0{version}\0{gpu}".encode())
    return folder / f"{digest.hexdigest()[:32]}.cache"


class RuntimeCache:
    """TensorRT-RTX's runtime cache of one engine, which keeps compiled kernels from one process to the next.

    The library itself refuses a cache of another GPU, driver or version, so a file that does not
    fit does no harm.
    """

    def __init__(self, path: Path, configuration: Any) -> None:
        """Read the file and add it to a runtime configuration. A file that cannot be read counts as empty."""
        self._path, self._cache, self._known = path, configuration.create_runtime_cache(), b""
        with contextlib.suppress(OSError):
            self._known = path.read_bytes()
        if self._known:
            self._cache.deserialize(self._known)
        configuration.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write the file, whole or not at all, if there are new kernels. Nothing is raised."""
        content = self._cache.serialize()
        data = bytes(content) if content is not None else b""
        if data and data != self._known:
            write_cached_bytes(self._path, data)
