"""ONNX sources: the graph of a seed as a file, and NumPy and ONNX Runtime beside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
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
    return subject_of(seed, drawn, drawn.model, drawn.feeds, drawn.outputs, folder)


def subject_of(
    seed: int, drawn: Drawn, model: onnx.ModelProto, feeds: Arrays, outputs: Sequence[str], folder: Path
) -> Subject:
    """A drawn graph, or a part of it: ``model`` takes ``feeds`` and gives ``outputs``."""
    path = folder / "graph.onnx"
    onnx.save(model, path)

    def program(values: Arrays, wide: bool = False) -> Sequence[np.ndarray]:
        return list(drawn.sketch.run(values, outputs, wide).values())

    oracles = (
        Oracle("NumPy", program, EXACT if drawn.sketch.exact else FAR),
        Oracle("ONNX Runtime", _Runtime(model), FAR),
    )
    operators = tuple(sorted({node.op_type for node in model.graph.node}))
    wide = None if drawn.sketch.exact else partial(program, wide=True)
    return Subject("onnx", seed, path, feeds, options_of(seed), oracles, operators, wide=wide)
