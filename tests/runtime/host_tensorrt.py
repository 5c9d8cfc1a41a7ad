"""A TensorRT of host memory beside the host driver of conftest.py: y = scale * x, so that a session's own work can be seen without a GPU.

Only what the session calls is here. It refuses what TensorRT refuses: shapes outside the profile, unknown plans, missing addresses.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np


@dataclass
class Seen:
    """What the session did, counted."""

    contexts: int = 0
    executions: int = 0
    profiles: list[int] = field(default_factory=list)
    addresses: list[tuple[str, int]] = field(default_factory=list)
    strategies: list[str] = field(default_factory=list)


class Execution:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.shape, self.address = engine, None, {}
        # TensorRT sets the first profile in an engine's first context only.
        self.active_optimization_profile = -1 if engine.seen.contexts else 0
        engine.seen.contexts += 1

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self.active_optimization_profile, self.shape = index, None
        self.engine.seen.profiles.append(index)
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if self.active_optimization_profile < 0:
            return False
        low, _, high = self.engine.profiles[self.active_optimization_profile]
        if len(shape) != len(low) or not all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True)):
            return False
        self.shape = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape or (-1, 3)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.address[name] = address
        self.engine.seen.addresses.append((name, address))
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.engine.seen.executions += 1
        count = int(np.prod(self.shape))
        kernel = self.engine.library.test_kernel
        kernel.argtypes = (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_float)
        return kernel(stream, self.address["y"], self.address["x"], count, self.engine.scale) == 0


@dataclass
class Engine:
    scale: float
    profiles: list[tuple[tuple[int, ...], ...]]
    library: Any
    seen: Seen
    fixed: tuple[int, ...] | None = None
    num_io_tensors: int = 2

    @property
    def num_optimization_profiles(self) -> int:
        return len(self.profiles)

    def get_tensor_name(self, i: int) -> str:
        return "xy"[i]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "x" else "out"

    def get_tensor_dtype(self, name: str) -> str:
        return "float32"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.fixed or (-1, 3)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return list(self.profiles[profile])

    def create_execution_context(self, settings: Any = None) -> Execution:
        if settings is not None:
            self.seen.strategies.append(settings.cuda_graph_strategy)
        return Execution(self)

    def create_runtime_config(self) -> SimpleNamespace:
        config = SimpleNamespace(cuda_graph_strategy="DISABLED", cache=None)
        config.create_runtime_cache = Cache
        config.set_runtime_cache = lambda cache: setattr(config, "cache", cache)
        return config


class Cache:
    """Holds what it was given, and one kernel more."""

    def __init__(self) -> None:
        self.content = b""

    def deserialize(self, data: bytes) -> bool:
        if not data.startswith(b"kernels"):
            return False
        self.content = data
        return True

    def serialize(self) -> bytes:
        return self.content or b"kernels: scale"


def library(engine: Engine, *, rtx: bool = False) -> SimpleNamespace:
    """The module: it deserialises the plan ``b"plan"`` and no other."""
    severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)

    class Runtime:
        def __init__(self, log: Any) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            if plan != b"plan":
                self.log.log(severity.ERROR, "bad magic")
                return None
            return engine

    made = SimpleNamespace(
        __name__="tensorrt_rtx" if rtx else "tensorrt",
        __version__="11.1.0",
        ILogger=type("ILogger", (), {"Severity": severity, "__init__": lambda self: None}),
        TensorIOMode=SimpleNamespace(INPUT="in", OUTPUT="out"),
        nptype=np.dtype,
        Runtime=Runtime,
    )
    if rtx:
        made.CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="WHOLE")
        made.ComputeCapability = SimpleNamespace(__members__=("SM121",))
    return made
