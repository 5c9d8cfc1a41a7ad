"""What the TensorRT that is installed here makes of each node: its parser needs no GPU, and says which nodes it refuses and why."""

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
    """The TensorRT that engines would be built with here; None where there is none."""
    try:
        return find_flavour("auto")
    except InputError:
        return None


def refused(model: onnx.ModelProto, flavour: Flavour, origins: Origins) -> Iterator[Finding]:
    """A finding for each node that the parser refuses."""
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
            fine = parser.supports_model_v2(path.read_bytes(), str(path))
        errors = [] if fine else [parser.get_error(i) for i in range(parser.num_errors)]
        for error in errors:
            text = clean(error.desc().removeprefix(f"Invalid Node - {error.node_name()}\n")).removeprefix(
                "Assertion failed: "
            )
            reason = "the operator is not supported" if error.desc() == "false" else text
            said = f"{flavour.title}: {reason}"
            yield Finding.of(
                "cannot", error.node_operator() or "model", [target], said, origin_of(error.node_name(), origins)
            )
        del errors, parser, network, builder
