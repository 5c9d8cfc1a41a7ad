"""The engine's state of one thread: an execution context, its profile, a stream, buffers, and a graph of the current shapes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError, StageError
from ..cuda import CudaContext, CudaDriver, DeviceMemory
from .dlpack import Borrowed, DeviceArray, borrow, bytes_of, host_array, on_device

Shape = tuple[int, ...]
Profile = Mapping[str, tuple[Shape, Shape, Shape]]
"""``min``, ``opt`` and ``max`` of every input."""


def choose_profile(profiles: Sequence[Profile], shapes: Mapping[str, Shape], engine: str) -> int:
    """The profile that contains all shapes; of several, the one whose opt is nearest in elements, since it was tuned for that.

    Raise InputError with the ranges if there is none; ``engine`` is its name.
    """
    fitting = [i for i, profile in enumerate(profiles) if all(_holds(profile[n], s) for n, s in shapes.items())]
    if fitting:
        return min(fitting, key=lambda i: (sum(_distance(profiles[i][n][1], s) for n, s in shapes.items()), i))
    nearest = next((n for n, s in shapes.items() if not any(_holds(p[n], s) for p in profiles)), None)
    name = nearest or next(iter(shapes))
    takes = " or ".join(dict.fromkeys(_range(profile[name]) for profile in profiles))
    together = "" if nearest else " with these other inputs"
    raise InputError(
        f"input {name!r} of {engine} has shape {shapes[name]}{together}",
        f"keep to what the engine was built for: {takes}",
    )


def _holds(limits: tuple[Shape, Shape, Shape], shape: Shape) -> bool:
    low, _, high = limits
    return len(low) == len(shape) and all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))


def _distance(opt: Shape, shape: Shape) -> float:
    return abs(math.log(max(math.prod(shape), 1) / max(math.prod(opt), 1)))


def _range(limits: tuple[Shape, Shape, Shape]) -> str:
    low, _, high = limits
    return f"({', '.join(str(a) if a == b else f'{a}..{b}' for a, b in zip(low, high, strict=True))})"


_ALIGNED = 256  # bytes: what TensorRT asks of every address


@dataclass(frozen=True)
class Binding:
    """An input or output of the engine."""

    name: str
    dtype: np.dtype[Any]
    is_input: bool


@dataclass
class _Buffer:
    """Memory of one tensor: on the device, and page-locked on the host for copies that the CPU does not wait for."""

    address: int = 0
    capacity: int = -1
    pinned: np.ndarray | None = None


class Lane:
    """See the module. The thread that makes a lane is the only one that uses it."""

    def __init__(
        self,
        driver: CudaDriver,
        execution: Any,
        bindings: Sequence[Binding],
        profiles: Sequence[Profile],
        engine: str,
        log: Any,
        *,
        graphs: bool,
    ) -> None:
        """``execution``: TensorRT's execution context; ``engine``: the name for messages; ``graphs``: record and replay."""
        self._driver, self._execution, self._log = driver, execution, log
        self._inputs = [b for b in bindings if b.is_input]
        self._outputs = [b for b in bindings if not b.is_input]
        self._profiles, self._name, self._record = profiles, engine, graphs
        self.context = CudaContext(driver)
        self._buffers = {b.name: _Buffer() for b in bindings}
        self._profile = int(execution.active_optimization_profile)  # 0 in an engine's first context, -1 in the others
        self._reserved: set[int] = set()
        self._shapes: dict[str, Shape] = {}
        self._bound: dict[str, int] = {}
        self._graph: int | None = None
        self._seen = False

    def run(self, feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return outputs in host memory. Raise InputError for wrong names, dtypes or shapes, StageError if the engine fails."""
        arrays, borrowed = self._prepared(feeds)
        shapes = self._output_shapes()
        for name in shapes:
            self._bind(name, self._buffers[name].address)
        sizes = {b.name: bytes_of(shapes[b.name], b.dtype) for b in self._outputs}

        def work() -> None:
            self._send(arrays)
            self._execute()
            for name, size in sizes.items():
                self.context.fetch(self._pinned(name), self._buffers[name].address, size)

        self._stage(arrays)
        if self._record and not borrowed:
            self._replay(work)
        else:
            work()
        self.context.synchronize()
        return {
            b.name: self._pinned(b.name)[: sizes[b.name]].view(b.dtype).reshape(shapes[b.name]).copy()
            for b in self._outputs
        }

    def run_on_device(self, feeds: Mapping[str, Any]) -> dict[str, DeviceArray]:
        """Return outputs in their own device memory, complete on return. Raise as :meth:`run` does."""
        arrays, _ = self._prepared(feeds)
        outputs = {}
        for name, shape in self._output_shapes().items():
            dtype = next(b.dtype for b in self._outputs if b.name == name)
            memory = DeviceMemory(self._driver, bytes_of(shape, dtype))
            outputs[name] = DeviceArray(memory.address, shape, dtype, memory)
            self._bind(name, memory.address)
        self._stage(arrays)
        self._send(arrays)
        self._execute()
        self.context.synchronize()
        return outputs

    def close(self) -> None:
        """Free everything."""
        self._execution = None
        for buffer in self._buffers.values():
            buffer.pinned = None
        self.context.close()

    def _prepared(self, feeds: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[Borrowed]]:
        """Check the inputs, set profile and shapes, and bind them: host arrays to buffers, device tensors at their addresses."""
        if set(feeds) != {b.name for b in self._inputs}:
            takes = ", ".join(b.name for b in self._inputs)
            raise InputError(f"{self._name} takes {takes}, not {', '.join(feeds) or 'nothing'}")
        self.context.make_current()
        arrays: dict[str, np.ndarray] = {}
        tensors: dict[str, Borrowed] = {}
        for b in self._inputs:
            value = feeds[b.name]
            if on_device(value):
                tensors[b.name] = borrow(b.name, value, self.context.stream)
            else:
                arrays[b.name] = np.ascontiguousarray(host_array(b.name, value))
            dtype = tensors[b.name].dtype if b.name in tensors else arrays[b.name].dtype
            if dtype != b.dtype:
                raise InputError(f"input {b.name!r} of {self._name} has dtype {dtype}", f"give {b.dtype}")
        shapes = {b.name: tensors[b.name].shape if b.name in tensors else arrays[b.name].shape for b in self._inputs}
        self._use_profile(choose_profile(self._profiles, shapes, self._name))
        for name, shape in shapes.items():
            if self._shapes.get(name) == shape:
                continue
            self._forget_graph()
            if not self._execution.set_input_shape(name, shape):
                raise InputError(f"input {name!r} of {self._name} has shape {shape}: {self._log.first()}")
            self._shapes[name] = shape
        for name in arrays:
            self._bind(name, self._buffers[name].address)
        for name, tensor in tensors.items():
            if tensor.address % _ALIGNED == 0:
                self._bind(name, tensor.address)
                continue
            self.context.copy(self._buffers[name].address, tensor.address, tensor.nbytes)
            self._bind(name, self._buffers[name].address)
        return arrays, list(tensors.values())

    def _use_profile(self, profile: int) -> None:
        """Activate a profile, with buffers for its largest shapes: addresses in recorded graphs then stay valid."""
        if profile != self._profile:
            if not self._execution.set_optimization_profile_async(profile, self.context.stream):
                raise StageError("tensorrt", f"profile {profile} of {self._name} is refused: {self._log.first()}")
            self.context.synchronize()
            self._profile = profile
            self._shapes.clear()
        if profile in self._reserved:
            return
        for name, (_, _, largest) in self._profiles[profile].items():
            self._execution.set_input_shape(name, largest)
        self._shapes.clear()
        limits = {b.name: self._profiles[profile][b.name][2] for b in self._inputs} | self._shapes_of_outputs()
        for b in (*self._inputs, *self._outputs):
            self._reserve(b.name, bytes_of(limits[b.name], b.dtype))
        self._reserved.add(profile)

    def _output_shapes(self) -> dict[str, Shape]:
        shapes = self._shapes_of_outputs()
        for b in self._outputs:
            # Larger inputs do not always give larger outputs.
            self._reserve(b.name, bytes_of(shapes[b.name], b.dtype))
        return shapes

    def _shapes_of_outputs(self) -> dict[str, Shape]:
        shapes = {b.name: tuple(self._execution.get_tensor_shape(b.name)) for b in self._outputs}
        for name, shape in shapes.items():
            if any(size < 0 for size in shape):
                raise StageError("tensorrt", f"output {name!r} of {self._name} has a data-dependent shape: {shape}")
        return shapes

    def _reserve(self, name: str, size: int) -> None:
        buffer = self._buffers[name]
        if size <= buffer.capacity:
            return
        self._forget_graph()  # it has the old address
        if buffer.pinned is not None:
            self.context.free(buffer.address)
            self.context.unpin(buffer.pinned)
        buffer.address, buffer.pinned, buffer.capacity = self.context.allocate(size), self.context.pin(size), size

    def _pinned(self, name: str) -> np.ndarray:
        pinned = self._buffers[name].pinned
        assert pinned is not None, "reserved with the profile"
        return pinned

    def _bind(self, name: str, address: int) -> None:
        if self._bound.get(name) != address:
            self._execution.set_tensor_address(name, address)
            self._bound[name] = address

    def _stage(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            np.copyto(self._pinned(name)[: array.nbytes], array.reshape(-1).view(np.uint8))

    def _send(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            self.context.send(self._buffers[name].address, self._pinned(name), array.nbytes)

    def _execute(self) -> None:
        if not self._execution.execute_async_v3(self.context.stream):
            raise StageError("tensorrt", f"{self._name} failed: {self._log.first()}")

    def _replay(self, work: Callable[[], None]) -> None:
        """Run directly the first time after the shapes change, since TensorRT defers some work; then record; then launch.

        There is one graph: TensorRT's recording is valid while its execution context keeps the same
        shapes.
        """
        if self._graph is not None:
            self.context.launch(self._graph)
            return
        if not self._seen:
            work()
            self._seen = True
            return
        try:
            self._graph = self.context.record(work)
        except StageError:  # some layers cannot be recorded
            self._record = False
            work()
            return
        self.context.launch(self._graph)

    def _forget_graph(self) -> None:
        self._seen = False
        if self._graph is not None:
            self.context.forget(self._graph)
            self._graph = None
