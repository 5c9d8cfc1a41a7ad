"""The input of the page: a bundle's folder, its manifests, and the nodes of its ONNX files without their weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.bundle.bench_report import BenchReport
from ...runtime.bundle.manifest import Manifest, joined
from ...runtime.show.inspect import Inspection, arrange

if TYPE_CHECKING:
    from ..verify.shown import GoldenOutputs


@dataclass(frozen=True)
class Content:
    """A bundle to show. ``own``: its manifest; ``parts``: the manifests of its parts by name. None of them need be on disk.

    ``bench``: its benchmark, or None. ``ran``: the outputs of a golden case during the export, by part.
    """

    folder: Path
    own: Manifest
    parts: Mapping[str, Manifest]
    bench: BenchReport | None = None
    ran: "Mapping[str, GoldenOutputs]" = field(default_factory=dict)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, joined with those of all parts."""
        return joined(self.own, self.parts) if self.parts else self.own

    @cached_property
    def found(self) -> Inspection:
        """The manifest arranged for reading."""
        return arrange(self.folder.name, self.own, self.parts)

    @cached_property
    def graphs(self) -> "tuple[Graph, ...]":
        """The graphs: one, or one for each part."""
        if not self.parts:
            return (Graph("", self.folder, self.own),)
        return tuple(Graph(name, self.folder / self.own.parts[name], part) for name, part in self.parts.items())

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The size in bytes of each model and engine file that exists."""
        files = {*self.manifest.operators, *(engine.file for engine in self.manifest.engines)}
        return {name: (self.folder / name).stat().st_size for name in sorted(files) if (self.folder / name).is_file()}


@dataclass(frozen=True)
class Graph:
    """One graph of the bundle; ``name`` is empty, or that of a part such as ``encoder``."""

    name: str
    folder: Path
    manifest: Manifest

    @property
    def models(self) -> tuple[str, ...]:
        """The ONNX files, the FP32 model first."""
        return tuple(self.manifest.operators)

    def titled(self, title: str) -> str:
        """Return ``title``, after the part's name if there are parts."""
        return f"{self.name}: {title}" if self.name else title


CASTS = ("/to_f16", "/to_f32", "/to_bf16")
"""Ends of the names of nodes that only change a type."""


@dataclass(frozen=True)
class NodeFact:
    """One node. ``precision``: float32, float16, bfloat16, int8, cast or other."""

    name: str
    precision: str


def nodes(path: Path) -> tuple[NodeFact, ...]:
    """Return the nodes of the main graph, in order; empty if the file does not exist."""
    if not path.is_file():
        return ()
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int, _size: int) -> tuple[NodeFact, ...]:
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    kinds = {
        onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.FLOAT16: "float16", onnx.TensorProto.BFLOAT16: "bfloat16",
    }  # fmt: skip
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output, *graph.input)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    quantised = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    facts = []
    for node in graph.node:
        # Comparisons return booleans and compute in the type of their inputs.
        precision = next((kinds[t] for name in (*node.output, *node.input) if (t := types.get(name)) in kinds), "other")
        retypes = node.op_type == "Cast" and node.name.endswith(CASTS)
        if retypes or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            precision = "cast"
        elif len(node.input) > 1 and all(name in quantised for name in node.input[:2]):
            precision = "int8"
        facts.append(NodeFact(node.name, precision))
    return tuple(facts)


def pixels(graph: Graph, value: np.ndarray) -> np.ndarray:
    """Convert an input (C, H, W) to (H, W, 3) in [0, 1], with the bundle's mean and std, else with the range of its values."""
    image = value.astype(np.float64).transpose(1, 2, 0)
    how: dict[str, Any] = graph.manifest.samples.images if graph.manifest.samples is not None else {}
    if "mean" in how and "std" in how:
        image = image * np.array(how["std"]) + np.array(how["mean"])
    else:
        low, high = float(image.min()), float(image.max())
        image = (image - low) / (high - low if high > low else 1.0)
    return np.asarray(np.clip(np.broadcast_to(image, (*image.shape[:2], 3)), 0, 1))
