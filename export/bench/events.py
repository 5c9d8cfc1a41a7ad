"""Time a call on the GPU with two CUDA events on its stream.

Source: CUDA driver API reference, event management, https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__EVENT.html.
"""

from __future__ import annotations

import ctypes

from ...runtime.cuda import CudaContext, CudaDriver
from .rounds import Run


class EventClock:
    """Time the work of a call on an idle stream, including launches that the GPU waits for.

    The resolution of an event is half a microsecond.
    """

    settle = 0.0
    """No pause: an idle GPU lowers its clocks."""

    def __init__(self, context: CudaContext, driver: CudaDriver | None = None) -> None:
        self._driver = driver or CudaDriver()
        self._context = context
        context.make_current()
        self._start, self._end = self._event(), self._event()

    def _event(self) -> ctypes.c_void_p:
        event = ctypes.c_void_p()
        self._driver.call("cuEventCreate", ctypes.byref(event), ctypes.c_uint(0))
        return event

    def time(self, run: Run) -> float:
        """Return the seconds between the two events."""
        stream = ctypes.c_void_p(self._context.stream)
        self._context.make_current()
        self._driver.call("cuEventRecord", self._start, stream)
        run()
        self._driver.call("cuEventRecord", self._end, stream)
        self._driver.call("cuEventSynchronize", self._end)
        milliseconds = ctypes.c_float()
        self._driver.call("cuEventElapsedTime", ctypes.byref(milliseconds), self._start, self._end)
        return milliseconds.value / 1e3


def free_memory(context: CudaContext, driver: CudaDriver | None = None) -> int:
    """Return the free memory of the GPU in bytes."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    context.make_current()
    (driver or CudaDriver()).call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return free.value
