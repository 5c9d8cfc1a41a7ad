"""The calls of the CUDA driver that an engine needs, through libcuda: no toolkit and no torch.

libcuda comes with the GPU's driver; without it no engine can run. Memory is allocated in the
device's primary context, which TensorRT's CUDA runtime uses too. Source: CUDA driver API reference,
https://docs.nvidia.com/cuda/cuda-driver-api/.
"""

import contextlib
import ctypes
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import AttnexportError, MissingBackendError, StageError

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
_INT, _SIZE, _HANDLE, _ADDRESS = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_uint64
_OUT = ctypes.c_void_p
_PORTABLE = 1  # CU_MEMHOSTALLOC_PORTABLE: pinned for every context
_OWN_THREAD = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: calls of other threads do not break the recording
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (ctypes.c_uint,),
    "cuDriverGetVersion": (_OUT,),
    "cuDeviceGetCount": (_OUT,),
    "cuDeviceGet": (_OUT, _INT),
    "cuDeviceGetName": (ctypes.c_char_p, _INT, _INT),
    "cuDeviceGetAttribute": (_OUT, _INT, _INT),
    "cuDevicePrimaryCtxRetain": (_OUT, _INT),
    "cuDevicePrimaryCtxRelease_v2": (_INT,),
    "cuCtxSetCurrent": (_HANDLE,),
    "cuMemAlloc_v2": (_OUT, _SIZE),
    "cuMemFree_v2": (_ADDRESS,),
    "cuMemcpyHtoD_v2": (_ADDRESS, _HANDLE, _SIZE),
    "cuMemcpyDtoH_v2": (_HANDLE, _ADDRESS, _SIZE),
    "cuMemHostAlloc": (_OUT, _SIZE, ctypes.c_uint),
    "cuMemFreeHost": (_HANDLE,),
    "cuMemcpyHtoDAsync_v2": (_ADDRESS, _HANDLE, _SIZE, _HANDLE),
    "cuMemcpyDtoHAsync_v2": (_HANDLE, _ADDRESS, _SIZE, _HANDLE),
    "cuMemcpyDtoDAsync_v2": (_ADDRESS, _ADDRESS, _SIZE, _HANDLE),
    "cuStreamBeginCapture_v2": (_HANDLE, _INT),
    "cuStreamEndCapture": (_HANDLE, _OUT),
    "cuGraphInstantiateWithFlags": (_OUT, _HANDLE, ctypes.c_ulonglong),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphExecDestroy": (_HANDLE,),
    "cuGraphDestroy": (_HANDLE,),
    "cuStreamCreate": (_OUT, ctypes.c_uint),
    "cuStreamSynchronize": (_HANDLE,),
    "cuStreamDestroy_v2": (_HANDLE,),
    "cuGetErrorString": (_INT, _OUT),
}


class CudaDriver:
    """An initialised CUDA driver. Raise MissingBackendError without a driver or a GPU."""

    def __init__(self, library: str | None = None) -> None:
        library = library or ("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        remedy = "run on a machine with an NVIDIA GPU and its driver"
        try:
            self._library = ctypes.CDLL(library)
            for name, kinds in _SIGNATURES.items():
                function = getattr(self._library, name)
                function.argtypes, function.restype = kinds, _INT
        except (OSError, AttributeError) as error:
            raise MissingBackendError(f"there is no CUDA driver ({error})", remedy) from error
        if code := self._library.cuInit(0):
            raise MissingBackendError(f"the CUDA driver does not start: {self.explain(code)}", remedy)
        if not self.ask("cuDeviceGetCount"):
            raise MissingBackendError("the CUDA driver finds no GPU", remedy)
        self.device = self.ask("cuDeviceGet", 0)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a driver function. Raise StageError with the driver's message if it fails."""
        if code := getattr(self._library, name)(*arguments):
            raise StageError("cuda", f"{name} failed: {self.explain(code)}")

    def ask(self, name: str, *arguments: Any, kind: type[Any] = _INT) -> int:
        """The number that a driver function returns through its first argument, of a ctypes ``kind``; None becomes 0."""
        value = kind()
        self.call(name, ctypes.byref(value), *arguments)
        return value.value or 0

    def explain(self, code: int) -> str:
        """The driver's message for a result code."""
        text = ctypes.c_char_p()
        if self._library.cuGetErrorString(code, ctypes.byref(text)) == 0 and text.value:
            return f"{text.value.decode()} ({code})"
        return f"error {code}"

    def version(self) -> str:
        """The CUDA version that the driver supports, such as ``12.8``."""
        value = self.ask("cuDriverGetVersion")
        return f"{value // 1000}.{value % 1000 // 10}"

    def name(self) -> str:
        """The first GPU's name."""
        buffer = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", buffer, len(buffer), self.device)
        return buffer.value.decode(errors="replace")

    def compute_capability(self) -> str:
        """The first GPU's compute capability, such as ``8.9``."""
        return ".".join(str(self.ask("cuDeviceGetAttribute", part, self.device)) for part in (_MAJOR, _MINOR))


class CudaContext:
    """The first GPU's primary context with one stream, its buffers and graphs; ``close`` frees them all."""

    def __init__(self, driver: CudaDriver) -> None:
        self._driver = driver
        self._buffers: dict[int, int] = {}
        self._pinned: set[int] = set()
        self._graphs: set[int] = set()
        self._context, self._stream = _HANDLE(), _HANDLE()
        driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), driver.device)
        try:
            driver.call("cuCtxSetCurrent", self._context)
            driver.call("cuStreamCreate", ctypes.byref(self._stream), 0)
        except StageError:
            driver.call("cuDevicePrimaryCtxRelease_v2", driver.device)
            raise

    @property
    def stream(self) -> int:
        """The stream's handle."""
        return self._stream.value or 0

    def make_current(self) -> None:
        """Use this context in the calling thread."""
        self._driver.call("cuCtxSetCurrent", self._context)

    def allocate(self, size: int) -> int:
        """Allocate ``size`` bytes of device memory, at least one, and return the address."""
        address = self._driver.ask("cuMemAlloc_v2", max(size, 1), kind=_ADDRESS)
        self._buffers[address] = size
        return address

    def free(self, address: int) -> None:
        """Free a buffer."""
        del self._buffers[address]
        self._driver.call("cuMemFree_v2", address)

    def pin(self, size: int) -> np.ndarray:
        """``size`` bytes of page-locked host memory, (size,) uint8, until it is unpinned or the context closed."""
        address = self._driver.ask("cuMemHostAlloc", max(size, 1), _PORTABLE, kind=_HANDLE)
        self._pinned.add(address)
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def unpin(self, memory: np.ndarray) -> None:
        """Free page-locked memory; arrays over it must not be used afterwards."""
        self._pinned.remove(memory.ctypes.data)
        self._driver.call("cuMemFreeHost", memory.ctypes.data)

    def upload(self, address: int, array: np.ndarray) -> None:
        """Copy a C-contiguous array to the device."""
        self._driver.call("cuMemcpyHtoD_v2", address, array.ctypes.data, array.nbytes)

    def download(self, array: np.ndarray, address: int) -> None:
        """Fill a C-contiguous array from the device."""
        self._driver.call("cuMemcpyDtoH_v2", array.ctypes.data, address, array.nbytes)

    def send(self, address: int, pinned: np.ndarray, size: int) -> None:
        """Copy the first ``size`` bytes of pinned memory to the device, in the order of the stream."""
        self._driver.call("cuMemcpyHtoDAsync_v2", address, pinned.ctypes.data, size, self._stream)

    def fetch(self, pinned: np.ndarray, address: int, size: int) -> None:
        """Fill the first ``size`` bytes of pinned memory from the device, in the order of the stream."""
        self._driver.call("cuMemcpyDtoHAsync_v2", pinned.ctypes.data, address, size, self._stream)

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy on the device, in the order of the stream."""
        self._driver.call("cuMemcpyDtoDAsync_v2", target, source, size, self._stream)

    def record(self, work: Callable[[], None]) -> int:
        """Record the calls of ``work`` on the stream as a graph without running them, and return its handle for :meth:`launch`.

        Raise the exceptions of ``work``, and StageError if a call cannot be recorded.
        """
        graph, executable = _HANDLE(), _HANDLE()
        self._driver.call("cuStreamBeginCapture_v2", self._stream, _OWN_THREAD)
        try:
            work()
        except BaseException:
            with contextlib.suppress(StageError):  # the end of a failed recording may fail too
                self._driver.call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
            if graph.value is not None:
                self._driver.call("cuGraphDestroy", graph)
            raise
        self._driver.call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        try:
            self._driver.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, 0)
        finally:
            self._driver.call("cuGraphDestroy", graph)
        self._graphs.add(executable.value or 0)
        return executable.value or 0

    def launch(self, graph: int) -> None:
        """Run a recorded graph on the stream."""
        self._driver.call("cuGraphLaunch", graph, self._stream)

    def forget(self, graph: int) -> None:
        """Free a recorded graph."""
        self._graphs.remove(graph)
        self._driver.call("cuGraphExecDestroy", graph)

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._driver.call("cuStreamSynchronize", self._stream)

    def close(self) -> None:
        """Free the graphs, the buffers, the stream and the context."""
        if self._context.value is None:
            return
        self.make_current()  # any thread may close it
        for graph in list(self._graphs):
            self.forget(graph)
        for address in list(self._buffers):
            self.free(address)
        for pinned in self._pinned:
            self._driver.call("cuMemFreeHost", pinned)
        self._pinned.clear()
        self._driver.call("cuStreamDestroy_v2", self._stream)
        self._driver.call("cuDevicePrimaryCtxRelease_v2", self._driver.device)
        self._context.value = None


class DeviceMemory:
    """Device memory that is freed with its last user; until then the primary context is kept."""

    def __init__(self, driver: CudaDriver, size: int) -> None:
        self._driver = driver
        self._context = _HANDLE()
        driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), driver.device)
        try:
            driver.call("cuCtxSetCurrent", self._context)
            self.address = driver.ask("cuMemAlloc_v2", max(size, 1), kind=_ADDRESS)
        except StageError:
            driver.call("cuDevicePrimaryCtxRelease_v2", driver.device)
            raise
        weakref.finalize(self, _release, driver, self._context, self.address)

    def download(self, array: np.ndarray) -> None:
        """Fill a C-contiguous array, not larger than the memory, from the device."""
        self._driver.call("cuCtxSetCurrent", self._context)
        self._driver.call("cuMemcpyDtoH_v2", array.ctypes.data, self.address, array.nbytes)


def _release(driver: CudaDriver, context: ctypes.c_void_p, address: int) -> None:
    driver.call("cuCtxSetCurrent", context)
    driver.call("cuMemFree_v2", address)
    driver.call("cuDevicePrimaryCtxRelease_v2", driver.device)


def cuda_device() -> tuple[str, str] | None:
    """Name and compute capability (``8.9``) of the first GPU; None without a GPU or driver."""
    try:
        driver = CudaDriver()
        return driver.name(), driver.compute_capability()
    except AttnexportError:
        return None
