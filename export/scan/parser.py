"""Ask the parser of the installed TensorRT which nodes it refuses, and why. It needs no GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from ...errors import InputError
from ...runtime.sessions.large_model import save_model
from ..engine.flavour import Flavour, find_flavour
from ..engine.logger import clean, logger_of
from ..graph.origin import Origins, origin_of
from ..targets import engine_target
from .finding import Finding


def installed_flavour() -> Flavour | None:
    """Return the TensorRT that would build engines here; None if none is installed."""
    try:
        return find_flavour("auto")
    except InputError:
        return None


def refused(model: onnx.ModelProto, flavour: Flavour, origins: Origins) -> Iterator[Finding]:
    """Yield a finding for each node that the parser refuses."""
    trt = flavour.module
    logger, collector = logger_of(trt)
    target = engine_target(flavour.name, flavour.version[0])
    with collector.recording():
        builder = trt.Builder(logger)
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if flavour.asks_for_strong_typing else 0
        network = builder.create_network(flags)
        parser = trt.OnnxParser(network, logger)
        with TemporaryDirectory() as folder:
            path, *_ = save_model(model, Path(folder) / "model.onnx")
            supported = parser.supports_model_v2(path.read_bytes(), str(path))
        errors = [] if supported else [parser.get_error(i) for i in range(parser.num_errors)]
        for error in errors:
            text = clean(error.desc().removeprefix(f"Invalid Node - {error.node_name()}\n")).removeprefix(
                "Assertion failed: "
            )
            reason = "the operator is not supported" if error.desc() == "false" else text
            origin = origin_of(error.node_name(), origins)
            operator = error.node_operator() or "model"
            yield Finding.of("cannot", operator, [target], f"{flavour.title}: {reason}", origin)
        del errors, parser, network, builder
