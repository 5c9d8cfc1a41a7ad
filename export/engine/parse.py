"""ONNX to a TensorRT network; what the parser refuses is said with the node, its PyTorch module and its source line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import EngineError, InputError
from ..origin import Origin, origin_of
from .flavour import Flavour
from .logger import Recording, clean, logger_of

if TYPE_CHECKING:
    import onnx

_SHOWN = 3
_LARGEST = 2**31 - 1  # bytes that protobuf can serialise

# What the parser says instead of a reason.
_REASONS = {
    "false": "the operator is not supported",
    "Plugin not found": "the operator is not a standard one, and no TensorRT plugin of that name is there",
}


@dataclass
class Parsed:
    """A network and what it hangs on. ``graph`` is the ONNX model without external data."""

    trt: Any
    builder: Any
    network: Any
    graph: onnx.ModelProto
    recording: Recording


@contextmanager
def parsed(model: Path | onnx.ModelProto, flavour: Flavour, origins: Mapping[str, Origin]) -> Iterator[Parsed]:
    """Parse ``model`` into a strongly typed network that lives until the block ends.

    A path is parsed from the file, so that it may have external data and exceed 2 GB. Raises InputError for a model
    that cannot be read, EngineError for one that TensorRT's parser refuses.
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
            raise parse_error(parser, recording, origins)
        try:
            yield Parsed(trt, builder, network, graph, recording)
        finally:
            del parser, network, builder


def parse_error(parser: Any, recording: Recording, origins: Mapping[str, Origin]) -> EngineError:
    """The parser's errors as one line: node, operator, module, source and TensorRT's own reason for the first few."""
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    if not errors:
        return EngineError(
            f"TensorRT cannot read the model: {'; '.join(recording.texts(1)[:_SHOWN]) or 'no reason given'}"
        )
    parts = [_describe(error, origins) for error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        more = sorted({e.node_operator() for e in errors[_SHOWN:]})
        parts.append(f"and {len(errors) - _SHOWN} more nodes ({', '.join(more)})")
    return EngineError(
        f"TensorRT's parser refuses {'; '.join(parts)}",
        "lower the operator to standard ones, or leave that module out of the engine",
    )


def _describe(error: Any, origins: Mapping[str, Origin]) -> str:
    name, operator, text = error.node_name(), error.node_operator(), error.desc()
    reason = next((said for key, said in _REASONS.items() if text == key or (key in text and key != "false")), "")
    if not reason:
        reason = clean(text.removeprefix(f"Invalid Node - {name}\n").removeprefix("Assertion failed: "))
    if not operator:
        return f"the model: {reason}"
    origin = origin_of(name, origins)
    made_by = f" from {origin.describe()}" if origin else ""
    return f"{operator} node {name!r}{made_by}: {reason}"


def _serialised(model: onnx.ModelProto) -> bytes:
    import onnx

    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
        raise InputError("the model in memory refers to external data", "save it and give its path")
    if model.ByteSize() > _LARGEST:
        raise InputError(
            f"the model in memory has {model.ByteSize()} bytes, more than protobuf's 2 GB",
            "save it with external data and give its path",
        )
    return model.SerializeToString()


def _graph_of(path: Path) -> onnx.ModelProto:
    import onnx

    try:
        return onnx.load(path, load_external_data=False)
    except OSError as error:
        raise InputError(f"model {path} cannot be read: {error.strerror}", "give an .onnx file") from error
    except Exception as error:  # protobuf's DecodeError has no public home that is the same in all its implementations
        raise InputError(f"{path} is not an ONNX model: {error}", "give an .onnx file") from error
