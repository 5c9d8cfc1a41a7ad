"""The result of a pass that simplifies a graph."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from ..graph.rewrites import Refusal, Rewrite


@dataclass(frozen=True)
class Simplified:
    """The model after a pass, the rewrites that the pass applied, and those that it refused."""

    model: onnx.ModelProto
    applied: tuple[Rewrite, ...] = ()
    refused: tuple[Refusal, ...] = ()
