"""ONNX files as sources: external data kept inside the folder, operators, opset, graph and weights checked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
from onnx import numpy_helper

from ...errors import InputError
from ..capture.from_onnx import from_onnx
from ..options import SourceOptions
from ..reference.onnx_model import OnnxOriginal
from .base import CapturedModel, Reader, Source
from .graph_inputs import onnx_inputs
from .sniff import ONNX
from .words import first_few, reason


@dataclass(frozen=True, kw_only=True)
class OnnxSource(Source):
    """An ONNX graph with its weights loaded; its inputs have the sizes and symbols of :attr:`inputs`."""

    model: onnx.ModelProto

    def capture(self, outputs: Sequence[str], seed: int, *, attention: bool = False) -> CapturedModel:
        """See :meth:`Source.capture`. The outputs keep the names that the graph gives them."""
        if attention:
            raise InputError(
                f"{self.name} is an ONNX graph and has no modules with attention maps", "leave out --outputs attention"
            )
        return CapturedModel(from_onnx(self.model), OnnxOriginal(self.model), self.inputs, self.outputs)


def read_onnx(path: Path, options: SourceOptions) -> OnnxSource:
    """Read and check an ONNX file. Raises InputError if it is damaged or does not fit ``options``."""
    model, notes = read_graph(path)
    inputs, explicit = onnx_inputs(model, options, path)
    return OnnxSource(
        kind="onnx", name=path.stem, path=path, model=model, inputs=inputs, explicit_dynamic=explicit,
        outputs=tuple(output.name for output in model.graph.output), notes=notes,
    )  # fmt: skip


READER = Reader(ONNX, read_onnx, has_architecture=True)


OPSET_MIN = 7
MOST_CALLS = 100
"""Of functions inside functions."""
MOST_NODES = 1_000_000
"""Of a graph with its functions written out."""
# The domains of the captured operators and of ONNX Runtime's operators.
_OWN, _CONTRIB = "attnexport", ("com.microsoft", "ai.onnx.ml")
_STANDARD = ("", "ai.onnx")
# The only operator of ONNX Runtime that reads a file: its attribute is a path.
_COMPILED = "EPContext"
_IR_WITHOUT_WEIGHT_INPUTS = 4
# onnx.checker works on a serialised proto, which holds 2 GiB at most.
_PROTO_LIMIT = 2**31 - 1


def read_graph(path: Path) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Load and check a model; return it with notes. Raises InputError naming the tensor, operator or file at fault."""
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf has other exception classes
        raise InputError(
            f"{path} is not an ONNX model, or it is truncated: {reason(error, 120)}", "copy or export it again"
        ) from error
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise InputError(f"{path} is not an ONNX model, or has no graph", "export it again")
    _check_opset(model, path)
    notes = _check_domains(model, path)
    tensors = list(_tensors(model))
    _check_external(tensors, path)
    _load_external(model, path)
    _check_functions(model, path)
    _check_graph(model, path)
    for tensor in _initializers(model.graph):
        _check_values(tensor, path)
    _fix_weights(model)
    return model, notes


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # the file changed since it was checked, or onnx refuses its kind
        raise InputError(
            f"the external data of {path} cannot be read: {reason(error)}", "copy the model and its data again"
        ) from error


def _fix_weights(model: onnx.ModelProto) -> None:
    """Remove, in place, the inputs that only let a caller replace a weight; files before IR version 4 list every weight there."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        model.ir_version = max(model.ir_version, _IR_WITHOUT_WEIGHT_INPUTS)


def _check_opset(model: onnx.ModelProto, path: Path) -> None:
    version = next((o.version for o in model.opset_import if o.domain in _STANDARD), None)
    if version is None:
        raise InputError(f"{path} names no ONNX opset", "export it again at opset 18")
    if version < OPSET_MIN:
        raise InputError(
            f"{path} is of opset {version}, below {OPSET_MIN}",
            "export it again at opset 18, or convert it with onnx.version_converter.convert_version(model, 18)",
        )
    if version > onnx.defs.onnx_opset_version():
        raise InputError(
            f"{path} is of opset {version}, newer than onnx {onnx.__version__} knows", "pip install -U onnx"
        )


def _check_domains(model: onnx.ModelProto, path: Path) -> tuple[str, ...]:
    local = {(f.domain, f.name) for f in model.functions}
    nodes = [*_nodes(model.graph.node), *(n for f in model.functions for n in _nodes(f.node))]
    foreign = sorted({(n.domain, n.op_type) for n in nodes if n.domain not in (*_STANDARD, _OWN)} - local)
    if (_CONTRIB[0], _COMPILED) in foreign:
        raise InputError(
            f"{path} holds a compiled model ({_CONTRIB[0]}::{_COMPILED}), which ONNX Runtime loads from any file",
            "give the ONNX model that it was compiled from",
        )
    if unknown := [f"{domain}::{op}" for domain, op in foreign if domain not in _CONTRIB]:
        raise InputError(
            f"{path} holds custom operators without a definition: {first_few(unknown)}",
            "export it with standard operators, or with a model-local function for each",
        )
    named = first_few([f"{domain}::{op}" for domain, op in foreign])
    return (f"operators of ONNX Runtime only, which TensorRT may refuse: {named}",) if foreign else ()


def _check_functions(model: onnx.ModelProto, path: Path) -> None:
    """Refuse functions that call themselves, and few that call each other so often that the graph would have millions of nodes."""
    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Sequence[onnx.NodeProto], callers: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in _nodes(nodes):
            key = (node.domain, node.op_type)
            if key in callers:
                names = " calls ".join(f"{domain}::{name}" for domain, name in (*callers[callers.index(key) :], key))
                raise InputError(f"{path} has a function that calls itself: {names}", "export it without recursion")
            if len(callers) > MOST_CALLS:
                raise InputError(f"{path} has functions nested over {MOST_CALLS} deep", "export it again without them")
            if key in functions and key not in sizes:
                sizes[key] = size(functions[key].node, (*callers, key))
            total += sizes.get(key, 1)
        return total

    if (count := size(model.graph.node, ())) > MOST_NODES:
        raise InputError(
            f"{path} would have {count:,} nodes with its functions written out, above {MOST_NODES:,}",
            "export it again with fewer nested functions",
        )


def _nodes(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for graph in _subgraphs(node):
            yield from _nodes(graph.node)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _initializers(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for inner in _subgraphs(node):
            yield from _initializers(inner)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that may name external data: initialisers, attributes, those of subgraphs and functions."""
    nodes = [*_nodes(model.graph.node), *(n for f in model.functions for n in _nodes(f.node))]
    for graph in (model.graph, *(inner for node in nodes for inner in _subgraphs(node))):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from ([attribute.t] if attribute.HasField("t") else [])
        yield from attribute.tensors


def _check_external(tensors: Sequence[onnx.TensorProto], path: Path) -> None:
    folder = path.parent.resolve()
    for tensor in tensors:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {e.key: e.value for e in tensor.external_data}
        location = entries.get("location", "")
        parts = (*PurePosixPath(location).parts, *PureWindowsPath(location).parts)
        absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).is_absolute()
        target = (folder / location).resolve() if "\0" not in location else folder
        outside = absolute or ".." in parts or PureWindowsPath(location).drive or not target.is_relative_to(folder)
        if not location or outside:
            raise InputError(
                f"tensor {tensor.name!r} of {path} has its data outside the model's folder, at {location!r}",
                "put the data file beside the model and name it by a plain relative path",
            )
        if target.is_file() and target.stat().st_nlink > 1:
            raise InputError(
                f"the data file {location!r} of {path} is a hard link: it may be a file from elsewhere", "copy it"
            )
        if not target.is_file():
            raise InputError(
                f"the data file {location!r} of {path} is missing", f"put it into {path.parent}, beside the model"
            )
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", 0))
        except ValueError as error:
            raise InputError(
                f"tensor {tensor.name!r} of {path} has external data at no valid offset", "export it again"
            ) from error
        if offset < 0 or length < 0 or offset + length > target.stat().st_size:
            raise InputError(
                f"the data file {location!r} of {path} is too short for tensor {tensor.name!r}", "copy it again"
            )


def _check_graph(model: onnx.ModelProto, path: Path) -> None:
    try:
        if model.ByteSize() < _PROTO_LIMIT:
            onnx.checker.check_model(model)
        else:
            onnx.checker.check_model(str(path))
    except Exception as error:  # ValidationError, or another error for a damaged proto
        raise InputError(f"{path} is not a valid ONNX model: {reason(error)}", "export it again") from error


def _check_values(tensor: onnx.TensorProto, path: Path) -> None:
    if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE):
        return
    if count := int(np.isnan(numpy_helper.to_array(tensor)).sum()):
        raise InputError(
            f"weight {tensor.name!r} of {path} holds NaN ({count} values)", "give a model that trained well"
        )
