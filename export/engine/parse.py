"""Parse ONNX into a TensorRT network; a refusal names the node, its PyTorch module and its source line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import EngineError, InputError
from ..graph.origin import Origin, origin_of
from .flavour import Flavour
from .layers import caller
from .logger import ERROR, Recording, clean, logger_of

if TYPE_CHECKING:
    import onnx

_SHOWN = 3
_LARGEST = 2**31 - 1  # bytes that protobuf can serialise


@dataclass
class Parsed:
    """A network and the objects that it needs. ``graph`` is the ONNX model without external data."""

    trt: Any
    builder: Any
    network: Any
    graph: "onnx.ModelProto"
    recording: Recording


@contextmanager
def parsed(model: "Path | onnx.ModelProto", flavour: Flavour, origins: Mapping[str, Origin]) -> Iterator[Parsed]:
    """Parse ``model`` into a strongly typed network that exists until the block ends.

    A path is parsed from the file, so the model may have external data and exceed 2 GB. Raises InputError if the model
    cannot be read, EngineError if TensorRT's parser refuses it.
    """
    import onnx

    trt = flavour.module
    logger, collector = logger_of(trt)
    with collector.recording() as recording:
        builder = trt.Builder(logger)
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if flavour.asks_for_strong_typing else 0
        network = builder.create_network(flags)
        parser = trt.OnnxParser(network, logger)
        if isinstance(model, onnx.ModelProto):
            graph = model
            ok = parser.parse(_serialised(model))
        else:
            graph = _graph_of(model)
            ok = parser.parse_from_file(str(model))
        if not ok:
            raise parse_error(parser, graph, recording, origins)
        try:
            yield Parsed(trt, builder, network, graph, recording)
        finally:
            del parser, network, builder


def parse_error(
    parser: Any, graph: "onnx.ModelProto", recording: Recording, origins: Mapping[str, Origin]
) -> EngineError:
    """Return the parser's errors as one line: node, operator, module, source and TensorRT's reason for the first few."""
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    parts = [_describe(error, graph, origins) for error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        more = sorted({e.node_operator() for e in errors[_SHOWN:]})
        parts.append(f"and {len(errors) - _SHOWN} more nodes ({', '.join(more)})")
    problem = (
        f"TensorRT's parser refuses {'; '.join(parts) or '; '.join(recording.texts(ERROR)[:_SHOWN]) or 'the model'}"
    )
    if not any(error.node_operator() for error in errors):
        return EngineError(problem, "check the model with onnx.checker, and that its external data files are whole")
    if any(_unsupported(error) for error in errors):
        return EngineError(problem, "lower the operator to standard ones, or leave that module out of the engine")
    return EngineError(problem, "change that node of the model, or leave its module out of the engine")


def _describe(error: Any, graph: "onnx.ModelProto", origins: Mapping[str, Origin]) -> str:
    name, operator, index = error.node_name(), error.node_operator(), error.node()
    reason = _unsupported(error) or _reason(error.desc(), name)
    if not operator:
        return f"the model: {reason}"
    stack = list(error.local_function_stack())
    origin = origin_of(name, origins) or (origin_of(caller(["", *reversed(stack)]), origins) if stack else None)
    called = repr(name) if name or stack else f"that makes {graph.graph.node[index].output[0]!r}"
    inside = f" in {' in '.join(reversed(stack))}" if stack else ""
    made_by = f" from {origin.describe()}" if origin else ""
    return f"{operator} node {called}{inside}{made_by}: {reason}"


def _unsupported(error: Any) -> str:
    """A readable reason if the parser does not know the operator and reports only an assertion; else empty."""
    if error.desc() == "false":
        return "the operator is not supported"
    if "Plugin not found" in error.desc():
        return "the operator is not a standard one, and TensorRT has no plugin of that name"
    return ""


def _reason(text: str, name: str) -> str:
    reason = clean(text.removeprefix(f"Invalid Node - {name}\n"))
    return reason.removeprefix("Assertion failed: ").removeprefix(f"{name}: ")


def _serialised(model: "onnx.ModelProto") -> bytes:
    import onnx

    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
        raise InputError("the model in memory refers to external data", "save it and pass its path")
    if model.ByteSize() > _LARGEST:
        raise InputError(
            f"the model in memory has {model.ByteSize()} bytes, more than protobuf's 2 GB",
            "save it with external data and pass its path",
        )
    serialized: bytes = model.SerializeToString()
    return serialized


def _graph_of(path: Path) -> "onnx.ModelProto":
    import onnx

    try:
        graph = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise InputError(f"model {path} cannot be read: {error.strerror}", "pass an .onnx file") from error
    except Exception as error:  # protobuf's DecodeError is in another place in each implementation
        raise InputError(f"{path} is not an ONNX model: {error}", "pass an .onnx file") from error
    if not graph.graph.output:
        raise InputError(f"{path} is not an ONNX model: it has no outputs", "pass an .onnx file")
    return graph
