"""The two sides of a step, tensor by tensor: what a stage's graph computes, and what it is held against there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import onnx

from ..origin import Origins, origin_of
from ..truth import Original, TorchOriginal
from ..truth_onnx import OnnxOriginal
from .graphs import run_once

Feeds = Mapping[str, np.ndarray]


class Side(Protocol):
    """Something whose inner tensors can be had by name, for one set of inputs."""

    names: frozenset[str]

    def values(self, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
        """For each name, every array that it may stand for (a module's outputs are not told apart)."""


class GraphSide:
    """The tensors of a model's main graph, as ONNX Runtime computes them; ``typed`` under emulation."""

    def __init__(self, model: onnx.ModelProto, feeds: Feeds, *, typed: bool = False) -> None:
        self._model, self._feeds, self._typed = model, feeds, typed
        self.names = frozenset(name for node in model.graph.node for name in node.output if name)

    def values(self, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
        """See :class:`Side`."""
        got = run_once(self._model, self._feeds, names, typed=self._typed)
        return {name: [array] for name, array in got.items()}


class OnnxSide:
    """The tensors of an ONNX file's own graph in FP64."""

    def __init__(self, original: OnnxOriginal, feeds: Feeds) -> None:
        self._original, self._feeds = original, feeds
        self.names = original.tensor_names()

    def values(self, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
        """See :class:`Side`."""
        return {name: [array] for name, array in self._original.tensors(self._feeds, names).items()}


class ModuleSide:
    """What the modules of a network give in FP64, under the names of the captured tensors that leave their scopes."""

    def __init__(self, original: TorchOriginal, captured: onnx.ModelProto, origins: Origins, feeds: Feeds) -> None:
        self._original, self._feeds = original, feeds
        self._modules = _leaving(captured.graph, origins)
        self._outputs = frozenset(value.name for value in captured.graph.output)
        self.names = frozenset(self._modules) | self._outputs

    def values(self, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
        """See :class:`Side`."""
        wanted = {path for name in names for path in self._modules.get(name, ())}
        found, outputs = self._original.modules(self._feeds, wanted)
        return {
            name: [
                *(array for path in self._modules.get(name, ()) for array in found.get(path, ())),
                *([outputs[name]] if name in self._outputs else []),
            ]
            for name in names
        }


def reference(original: Original, captured: onnx.ModelProto, origins: Origins, feeds: Feeds) -> Side | None:
    """What a captured graph is held against inside; None for an original that shows nothing but its outputs."""
    if isinstance(original, TorchOriginal):
        return ModuleSide(original, captured, origins, feeds)
    return OnnxSide(original, feeds) if isinstance(original, OnnxOriginal) else None


def _leaving(graph: onnx.GraphProto, origins: Origins) -> dict[str, tuple[str, ...]]:
    """For each tensor, the modules that it is made in and read outside of, the innermost first."""
    made: dict[str, str] = {}
    readers: dict[str, list[str]] = {}
    for node in graph.node:
        origin = origin_of(node.name, origins)
        module = origin.module if origin is not None else ""
        made.update((name, module) for name in node.output if name)
        for name in node.input:
            readers.setdefault(name, []).append(module)
    for value in graph.output:
        readers.setdefault(value.name, []).append("")
    found: dict[str, tuple[str, ...]] = {}
    for name, module in made.items():
        left = [
            path
            for path in _and_above(module)
            if any(not (m == path or m.startswith(f"{path}.")) for m in readers.get(name, ()))
        ]
        if left:
            found[name] = tuple(left)
    return found


def _and_above(path: str) -> Iterable[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]
