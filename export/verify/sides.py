"""The intermediate tensors of a stage's graph and of its reference, by name."""

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
"""Receives a tensor's name and values; it must copy values that it keeps."""


class Side(ABC):
    """A model whose intermediate tensors can be read by name, for one set of inputs."""

    names: frozenset[str]

    @abstractmethod
    def stream(self, names: Collection[str], see: Visit) -> None:
        """Pass each array of each name to ``see``; a name has several arrays if a module has several outputs."""

    def values(self, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
        """Return copies of all arrays of each name."""
        arrays: dict[str, list[np.ndarray]] = {name: [] for name in names}
        # A copy: later operators may work in place.
        self.stream(names, lambda name, array: arrays[name].append(array.copy()))
        return arrays


class GraphSide(Side):
    """The tensors of a model's main graph in ONNX Runtime; ``typed`` models run under emulation."""

    def __init__(self, model: onnx.ModelProto, feeds: Feeds, *, typed: bool = False) -> None:
        self._model, self._feeds, self._typed = model, feeds, typed
        self.names = frozenset(name for node in model.graph.node for name in node.output if name)

    def stream(self, names: Collection[str], see: Visit) -> None:
        """See :class:`Side`."""
        for name, array in run_once(self._model, self._feeds, list(names), typed=self._typed).items():
            see(name, array)


class OnnxSide(Side):
    """The tensors of an ONNX file's graph in FP64."""

    def __init__(self, original: OnnxOriginal, feeds: Feeds) -> None:
        self._original, self._feeds = original, feeds
        self.names = original.tensor_names()

    def stream(self, names: Collection[str], see: Visit) -> None:
        """See :class:`Side`."""
        for name, array in self._original.tensors(self._feeds, list(names)).items():
            see(name, array)


class ModuleSide(Side):
    """The results of a network's modules in FP64, under the names of the captured tensors that leave their scopes."""

    def __init__(self, original: TorchOriginal, captured: onnx.ModelProto, origins: Origins, feeds: Feeds) -> None:
        self._original, self._feeds = original, feeds
        self._modules = _leaving(captured.graph, origins)
        self._outputs = frozenset(value.name for value in captured.graph.output)
        self.names = frozenset(self._modules) | self._outputs

    def on(self, feeds: Feeds) -> "ModuleSide":
        """Return the same side for other inputs."""
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
    """Return the reference for a captured graph's tensors; None for an original that shows only its outputs."""
    if isinstance(original, TorchOriginal):
        return ModuleSide(original, captured, origins, feeds)
    return OnnxSide(original, feeds) if isinstance(original, OnnxOriginal) else None


def _leaving(graph: onnx.GraphProto, origins: Origins) -> dict[str, tuple[str, ...]]:
    """For each tensor, the modules that compute it and whose outside reads it, the innermost first."""
    modules: dict[str, str] = {}
    readers: dict[str, list[str]] = {}
    for node in graph.node:
        origin = origin_of(node.name, origins)
        module = origin.module if origin is not None else ""
        modules.update((name, module) for name in node.output if name)
        for name in node.input:
            readers.setdefault(name, []).append(module)
    for value in graph.output:
        readers.setdefault(value.name, []).append("")
    leaving: dict[str, tuple[str, ...]] = {}
    for name, module in modules.items():
        paths = [
            path
            for path in _and_above(module)
            if any(not (m == path or m.startswith(f"{path}.")) for m in readers.get(name, ()))
        ]
        if paths:
            leaving[name] = tuple(paths)
    return leaving


def _and_above(path: str) -> Iterable[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]
