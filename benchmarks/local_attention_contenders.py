"""The four ways to run a layer: torch's plain export on ONNX Runtime, torch eager, torch.compile, attnexport on ONNX Runtime."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from attnexport.benchmarks.local_attention_measure import THREADS
from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program, trace_sizes
from attnexport.export.graph.origin import Origins
from attnexport.export.progress import Silent
from attnexport.export.quiet import quiet
from attnexport.export.stages.rewrite import Plan, find_windows, lower_for
from attnexport.runtime.inputs.feeds import random_feeds
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

Array = npt.NDArray[np.float32]
ERROR_LIMIT = 1e-4
"""Largest error allowed, as a part of the largest value of the FP64 output: far above FP32 rounding, far below a wrong formula."""


class WrongContender(Exception):
    """A contender's output is not that of the layer in FP64; nothing of the run may be believed."""


@dataclass(frozen=True)
class Model:
    """An exported graph, the seconds that making it took, and what was rewritten in it."""

    proto: onnx.ModelProto
    seconds: float
    rewrites: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    """Why windows were not recognised as local attention, node by node."""
    origins: Origins = field(default_factory=dict)

    @property
    def nodes(self) -> int:
        """Nodes of the graph and of its local functions."""
        return len(self.proto.graph.node) + sum(len(f.node) for f in self.proto.functions)


@dataclass(frozen=True)
class Contender:
    """A name, a call that runs the layer once, and its output on that call's input."""

    name: str
    call: Callable[[], object]
    output: Callable[[], Array]


def specs_of(x: Tensor) -> tuple[TensorSpec, ...]:
    """The input as a user's export sees it: batch free, channels and sizes fixed."""
    batch, *sizes = x.shape
    return (TensorSpec("x", "float32", (Axis(1, batch, max(batch, 8), "batch"), *map(Axis.fixed, sizes))),)


def plain_model(module: nn.Module, x: Tensor) -> Model:
    """torch.onnx.export with dynamo and its other defaults (fixed shapes, which only helps it)."""
    start = time.perf_counter()
    with quiet(), torch.no_grad():
        program = torch.onnx.export(module, (x,), dynamo=True)
    assert program is not None
    return Model(program.model_proto, time.perf_counter() - start)


def attnexport_model(module: nn.Module, x: Tensor, target: str = "ort-cpu") -> Model:
    """The stages of export/pipeline.py up to the lowered model that is quick on ``target``, with a free batch as in any export."""
    specs = specs_of(x)
    start = time.perf_counter()
    feeds = [torch.from_numpy(a) for a in random_feeds(specs, trace_sizes(specs)).values()]
    captured = to_onnx(export_program(module, specs, feeds), specs, ["y"])
    recognised = find_windows(captured.model)
    lowered, _ = lower_for(recognised, Plan(target, None), specs, False, Silent())
    seconds = time.perf_counter() - start
    rewrites = dict(Counter(applied.lowering for applied in lowered.applied))
    left = [f"{refused.node}: {refused.reason}" for refused in recognised.refused]
    return Model(lowered.model, seconds, rewrites, left, captured.origins)


def ort_contender(name: str, model: Model, x: Tensor) -> Contender:
    """A graph on ONNX Runtime's CPU provider, in the session that a user gets."""
    session = OrtSession(model.proto.SerializeToString(), threads=THREADS)
    feeds, (output,) = {session.input_names[0]: x.numpy()}, session.output_names
    return Contender(name, lambda: session.run(feeds), lambda: session.run(feeds)[output])


def eager_contender(name: str, module: nn.Module, x: Tensor) -> Contender:
    """PyTorch itself."""
    return _torch_contender(name, module, x)


def compiled_contender(name: str, module: nn.Module, x: Tensor) -> Contender:
    """torch.compile with inductor's defaults, compiled here. Raises what inductor raises, a missing C++ compiler for one."""
    torch.compiler.reset()
    compiled = torch.compile(module)
    with quiet(), torch.inference_mode():
        compiled(x)
    return _torch_contender(name, compiled, x)


def _torch_contender(name: str, module: Callable[[Tensor], Tensor], x: Tensor) -> Contender:
    def call() -> Tensor:
        with torch.inference_mode():
            return module(x)

    return Contender(name, call, lambda: call().numpy())


def reference(module: nn.Module, x: Tensor) -> npt.NDArray[np.float64]:
    """The layer's output in FP64."""
    dtype = x.dtype
    with torch.no_grad():
        result: npt.NDArray[np.float64] = module.double()(x.double()).numpy()
    module.to(dtype)
    return result


def check(contender: Contender, truth: npt.NDArray[np.float64]) -> float:
    """The largest error over the largest value. Raises WrongContender for another shape, NaN, or an error beyond the limit."""
    found = contender.output()
    if found.shape != truth.shape:
        raise WrongContender(f"{contender.name} gives shape {found.shape}, the layer {truth.shape}")
    error = float(np.abs(found - truth).max() / np.abs(truth).max())
    if not error <= ERROR_LIMIT:
        raise WrongContender(
            f"{contender.name} is off by {error:.1e} of the largest value ({ERROR_LIMIT:.0e} is allowed)"
        )
    return error
