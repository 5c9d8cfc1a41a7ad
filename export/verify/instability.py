"""Find the module in which PyTorch's error at a precision first exceeds what a verdict allows."""

from collections.abc import Mapping

import numpy as np

from ...errors import AttnexportError
from ...runtime.bundle.figures import stable_limit
from ..graph.origin import Origins
from ..reference.onnx_model import OnnxOriginal
from ..reference.original import Original, Precision
from ..reference.torch_model import TorchOriginal
from .graphs import run_once
from .locate import relative_error

MOST_BYTES = 512 << 20
"""Memory for the FP64 results of the modules; those that end later are not compared."""


def unstable_place(original: Original, origins: Origins, feeds: Mapping[str, np.ndarray], precision: Precision) -> str:
    """Describe the first module (for an ONNX file the first node) whose result is unstable; empty if none is found."""
    try:
        if isinstance(original, TorchOriginal):
            return _first_module(original, origins, feeds, precision)
        if isinstance(original, OnnxOriginal) and precision == "float32":
            return _first_node(original, feeds)
    except AttnexportError:
        return ""  # the place is a help, and its absence does not change the verdict
    return ""


def _first_module(
    original: TorchOriginal, origins: Origins, feeds: Mapping[str, np.ndarray], precision: Precision
) -> str:
    results: dict[tuple[str, int], np.ndarray] = {}
    calls: dict[str, int] = {}
    room = MOST_BYTES
    paths = original.module_paths()

    def keep(path: str, array: np.ndarray) -> None:
        nonlocal room
        calls[path] = calls.get(path, 0) + 1
        room -= array.nbytes
        if room > 0:
            results[path, calls[path]] = array.copy()

    original.watch(feeds, paths, keep)
    calls.clear()
    first = ""

    def compare(path: str, array: np.ndarray) -> None:
        nonlocal first
        calls[path] = calls.get(path, 0) + 1
        reference = results.get((path, calls[path]))
        if not first and reference is not None:
            error = relative_error(array, reference)
            if error is not None and not error <= stable_limit(precision):
                first = path

    original.watch(feeds, paths, compare, precision)
    if not first:  # an operation in the forward of the outermost module
        return "the outermost module"
    origin = next((o for o in origins.values() if o.module == first), None)
    return f"module {first}" + (f" ({origin.kind}, {origin.source})" if origin is not None and origin.source else "")


def _first_node(original: OnnxOriginal, feeds: Mapping[str, np.ndarray]) -> str:
    names = [name for node in original.model.graph.node for name in node.output if name]
    wide = original.tensors(feeds, names)
    single = run_once(original.model, feeds, names)
    for node in original.model.graph.node:
        for name in node.output:
            if name in wide and name in single:
                error = relative_error(single[name], wide[name])
                if error is not None and not error <= stable_limit("float32"):
                    return f"node {node.name or name} ({node.op_type})"
    return ""
