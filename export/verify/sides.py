"""The two sides of a step, tensor by tensor: what a stage's graph computes, and what it is held against there."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import onnx

from ..graph.origin import Origins, origin_of
from ..reference.onnx_model import OnnxOriginal
from ..reference.original import Original
from ..reference.torch_model import TorchOriginal
from .graphs import run_once

Feeds = Mapping[str, np.ndarray]


Visit = Callable[[str, np.ndarray], None]
"""Is given a tensor's name and its values, which it may not keep without a copy."""


class Side(ABC):
    """Something whose inner tensors can be had by name, for one set of inputs."""

    names: frozenset[str]

    @abstractmethod
    def stream(self, names: Collection[str], see: Visit) -> None:
        """Show every array that each name may stand for (a module's outputs are not told apart), one after the other."""

    def values(self, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
        """For each name, every array that it may stand for."""
        found: dict[str, list[np.ndarray]] = {name: [] for name in names}
        # A copy: what follows may work in place.
        self.stream(names, lambda name, array: found[name].append(array.copy()))
        return found


class GraphSide(Side):
    """The tensors of a model's main graph, as ONNX Runtime computes them; ``typed`` under emulation."""

    def __init__(self, model: onnx.ModelProto, feeds: Feeds, *, typed: bool = False) -> None:
        self._model, self._feeds, self._typed = model, feeds, typed
        self.names = frozenset(name for node in model.graph.node for name in node.output if name)

    def stream(self, names: Collection[str], see: Visit) -> None:
        """See :class:`Side`."""
        for name, array in run_once(self._model, self._feeds, list(names), typed=self._typed).items():
            see(name, array)


class OnnxSide(Side):
    """The tensors of an ONNX file's own graph in FP64."""

    def __init__(self, original: OnnxOriginal, feeds: Feeds) -> None:
        self._original, self._feeds = original, feeds
        self.names = original.tensor_names()

    def stream(self, names: Collection[str], see: Visit) -> None:
        """See :class:`Side`."""
        for name, array in self._original.tensors(self._feeds, list(names)).items():
            see(name, array)


class ModuleSide(Side):
    """What the modules of a network give in FP64, under the names of the captured tensors that leave their scopes."""

    def __init__(self, original: TorchOriginal, captured: onnx.ModelProto, origins: Origins, feeds: Feeds) -> None:
        self._original, self._feeds = original, feeds
        self._modules = _leaving(captured.graph, origins)
        self._outputs = frozenset(value.name for value in captured.graph.output)
        self.names = frozenset(self._modules) | self._outputs

    def on(self, feeds: Feeds) -> ModuleSide:
        """The same for other inputs."""
        other = copy.copy(self)
        other._feeds = feeds
        return other

    def stream(self, names: Collection[str], see: Visit) -> None:
        """See :class:`Side`."""
        leaving: dict[str, list[str]] = {}
        for name in names:
            for path in self._modules.get(name, ()):
                leaving.setdefault(path, []).append(name)

        def watch(path: str, array: np.ndarray) -> None:
            for name in leaving[path]:
                see(name, array)

        outputs = self._original.watch(self._feeds, leaving, watch)
        for name in self._outputs.intersection(names):
            see(name, outputs[name])


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
