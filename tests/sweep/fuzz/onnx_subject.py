"""ONNX sources: the graph of a seed as a file, and NumPy and ONNX Runtime beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from .blocks import session
from .draw import Drawn, draw
from .sketch import Arrays
from .trial import FAR, Oracle, Subject

EXACT = 1e-6
"""FP64 beside FP64; which pixels and bins are read follows from FP32."""
ENGINE_EVERY = 500


class _Runtime:
    """ONNX Runtime on the file as it is, opened when it is first asked."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return session(self._model)

    def __call__(self, feeds: Arrays) -> Sequence[np.ndarray]:
        return list(self._session.run(None, feeds))


def _program(drawn: Drawn) -> Callable[[Arrays], Sequence[np.ndarray]]:
    return lambda feeds: [drawn.run(feeds)[name] for name in drawn.outputs]


def options_of(seed: int) -> dict[str, Any]:
    """FP32 for most; FP16 and BF16 now and then, an engine for a few."""
    rng = np.random.default_rng([11, seed])
    precision = str(rng.choice(["fp32", "fp16", "bf16"], p=[0.92, 0.06, 0.02]))
    options: dict[str, Any] = {"precision": precision}
    if seed % ENGINE_EVERY == ENGINE_EVERY - 1:
        options |= {"trt": "rtx", "precision": "fp32", "optimization_level": 0}
    return options


def subject(seed: int, folder: Path) -> Subject:
    """The subject of a seed; its file is written into ``folder``."""
    drawn = draw(seed)
    path = folder / "graph.onnx"
    onnx.save(drawn.model, path)
    numpy = Oracle("NumPy", _program(drawn), EXACT if drawn.exact else FAR)
    oracles = (numpy, Oracle("ONNX Runtime", _Runtime(drawn.model), FAR))
    operators = tuple(sorted({node.op_type for node in drawn.model.graph.node}))
    return Subject("onnx", seed, path, drawn.feeds, options_of(seed), oracles, operators)
