"""ONNX Runtime's execution providers as backends, with their options, and the provider of each node.

TensorRT's providers build their engines when the session is opened or first run: for the shapes of
the bundle's inputs, which they would otherwise learn by rebuilding, and kept in the user's cache
folder. The provider of TensorRT-RTX is a plug-in: its wheel registers a library with ONNX Runtime.
Sources: ONNX Runtime's documentation of its execution providers; tensorrt_rtx_provider_options.h in
the wheel onnxruntime-ep-nv-tensorrt-rtx-cu12.
"""

import importlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError, MissingBackendError, first_line
from ..spec import POINTS, TensorSpec

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
RTX = "NvTensorRTRTXExecutionProvider"
_PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"

CHAINS: dict[str, tuple[str, ...]] = {
    "ort-cpu": (CPU,),
    "ort-cuda": (CUDA, CPU),
    "ort-tensorrt": (TENSORRT, CUDA, CPU),
    "ort-tensorrt-rtx": (RTX, CPU),
}
"""The providers of a backend, the preferred one first; the next one runs the nodes that it does not support."""


@dataclass(frozen=True)
class Provider:
    """One provider with its options, which ONNX Runtime takes as text."""

    name: str
    options: dict[str, str] = field(default_factory=dict)


def chain(
    backend: str,
    inputs: Sequence[TensorSpec] = (),
    cache: Path | None = None,
    *,
    half: bool = False,
    cuda_graph: bool = False,
) -> tuple[Provider, ...]:
    """The providers of one of ``CHAINS``, for models that take ``inputs``.

    ``cache``: a folder for TensorRT's engines; ``half``: allow FP16. ``cuda_graph`` records the run
    once and replays it, for fixed shapes only. TF32 is off: the CUDA provider enables it by
    default, and it costs three decimal digits (onnxruntime#19288). Raise InputError for another
    backend.
    """
    if backend not in CHAINS:
        raise InputError(f"backend {backend!r} is not an ONNX Runtime backend", f"use one of {', '.join(CHAINS)}")
    graph = "1" if cuda_graph else "0"
    caches = {"trt_engine_cache": cache, "trt_timing_cache": cache} if cache is not None else {}
    options = {
        CPU: {},
        CUDA: {"use_tf32": "0", "enable_cuda_graph": graph if backend == "ort-cuda" else "0"},
        TENSORRT: {
            "trt_fp16_enable": "1" if half else "0",
            "trt_cuda_graph_enable": graph,
            **_profiles("trt", inputs),
            **{f"{name}_enable": "1" for name in caches},
            **{f"{name}_path": str(folder) for name, folder in caches.items()},
        },
        RTX: {
            "enable_cuda_graph": graph,
            **_profiles("nv", inputs),
            **({"nv_runtime_cache_path": str(cache)} if cache is not None else {}),
        },
    }
    return tuple(Provider(name, options[name]) for name in CHAINS[backend])


def _profiles(prefix: str, inputs: Sequence[TensorSpec]) -> dict[str, str]:
    """``x:1x3x32x32,mask:1x32`` for min, opt and max; empty if no axis is dynamic."""
    if not any(axis.dynamic for spec in inputs for axis in spec.axes):
        return {}
    return {
        f"{prefix}_profile_{point}_shapes": ",".join(
            f"{spec.name}:{'x'.join(map(str, spec.shape(point)))}" for spec in inputs
        )
        for point in POINTS
    }


def rtx_devices(ort: Any) -> list[Any]:
    """The GPUs of TensorRT-RTX's plug-in, which the first call registers.

    Raise MissingBackendError if the plug-in is not installed, does not load, or finds no supported
    GPU.
    """
    remedy = "install it with: pip install onnxruntime-ep-nv-tensorrt-rtx-cu12"
    try:
        plugin = importlib.import_module(_PLUGIN)
        if not any(device.ep_name == RTX for device in ort.get_ep_devices()):
            ort.register_execution_provider_library(RTX, plugin.get_library_path())
    except ModuleNotFoundError as error:
        raise MissingBackendError(f"{_PLUGIN} is not installed", remedy) from error
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise MissingBackendError(f"the provider of TensorRT-RTX does not load: {first_line(error)}", remedy) from error
    devices = [device for device in ort.get_ep_devices() if device.ep_name == RTX]
    if not devices:
        raise MissingBackendError(
            "the provider of TensorRT-RTX finds no GPU that it runs on", "attnexport doctor says which GPU is here"
        )
    return devices


RECORD = ("session.record_ep_graph_assignment_info", "1")
"""The session option that makes ONNX Runtime (from 1.24) keep its assignment."""


@dataclass(frozen=True)
class Placement:
    """``nodes``: for each provider, the number of nodes of each operator. Nodes in a subgraph of TensorRT are counted too.

    Without it, a model that runs half on the CPU looks like a slow GPU (GridSample did,
    onnxruntime#20191).
    """

    nodes: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, session: Any) -> "Placement | None":
        """Ask a session of ONNX Runtime; None if its version cannot answer."""
        ask = getattr(session, "get_provider_graph_assignment_info", None)
        if ask is None:
            return None
        return cls.count((part.ep_name, node.op_type) for part in ask() for node in part.get_nodes())

    @classmethod
    def count(cls, assigned: Iterable[tuple[str, str]]) -> "Placement":
        """Count ``(provider, operator)`` of every node."""
        nodes: dict[str, Counter[str]] = {}
        for provider, operator in assigned:
            nodes.setdefault(provider, Counter())[operator] += 1
        return cls({provider: dict(counts.most_common()) for provider, counts in nodes.items()})

    def total(self, provider: str) -> int:
        """The number of nodes of a provider."""
        return sum(self.nodes.get(provider, {}).values())

    def describe(self) -> str:
        """``CUDA 218, CPU 22``."""
        return ", ".join(f"{name.removesuffix('ExecutionProvider')} {self.total(name)}" for name in self.nodes)

    def on_cpu(self) -> str:
        """The operators that a GPU session leaves to the CPU, in words; empty if none."""
        left = self.nodes.get(CPU, {})
        if not left:
            return ""
        shown = [f"{operator} ({count})" if count > 1 else operator for operator, count in left.items()]
        more = f" and {len(shown) - 6} operators more" if len(shown) > 6 else ""
        every = sum(self.total(name) for name in self.nodes)
        return f"{self.total(CPU)} of {every} nodes run on the CPU: {', '.join(shown[:6])}{more}"
