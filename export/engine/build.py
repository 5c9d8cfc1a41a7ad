"""Build a TensorRT engine from an ONNX model: parse, check, add the profile, configure, build, and describe the result."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import EngineError
from ...runtime.files.read import sha256_of
from ...runtime.open.engine_fit import network_name
from ...runtime.spec import TensorSpec
from ..graph.origin import Origin, origin_of
from ..progress import Reporter
from .config import EngineOptions, attach_timing_cache, set_capabilities, store_timing_cache
from .flavour import Flavour, gpu_present
from .layers import LayerJson, LayersFrom, dtype_name, inspected_layers, listed_layers, network_layers
from .logger import ERROR, LAYER_LISTING, WARNING, logger_of
from .memory import Needs, engine_needs, logged_needs
from .operators import allow_decomposition, check_grid_samples, float64_values
from .parse import Parsed, parsed
from .profiles import ProfileJson, add_profile
from .progress import Progress, held_interrupts, trt_monitor

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Engine:
    """A built engine: ``plan`` is the serialised engine; the other fields describe it in the manifest.

    ``layers_from`` is the source of ``layers``: the inspector, the builder's listing, or the network before fusion.
    ``needs`` is the device memory that TensorRT uses, None if unknown; ``types`` is the dtype of each input and output.
    ``model_sha256`` is the hash of the model file, which the plan contains too; empty for a model in memory.
    """

    plan: bytes = field(repr=False)
    flavour: str
    version: str
    seconds: float
    layers: list[LayerJson] = field(repr=False)
    layers_from: LayersFrom
    profiles: list[ProfileJson]
    compute_capabilities: tuple[str, ...]
    workspace_bytes: int | None
    tf32: bool
    needs: Needs | None
    types: dict[str, str]
    warnings: tuple[str, ...]
    model_sha256: str = ""


def build_engine(
    model: "Path | onnx.ModelProto",
    inputs: Sequence[TensorSpec],
    flavour: Flavour,
    options: EngineOptions,
    origins: Mapping[str, Origin],
    reporter: Reporter,
) -> Engine:
    """Build an engine from ``model`` (strongly typed: the ONNX graph sets the types) for the shapes of ``inputs``.

    Raises InputError for specs or options that do not fit the model, EngineError if TensorRT refuses or the time
    limit passes, KeyboardInterrupt once TensorRT has stopped.
    """
    started = time.monotonic()
    with held_interrupts() as interrupted:
        progress = Progress(reporter, options.time_limit_s, interrupted)
        monitor = trt_monitor(flavour.module, progress)
        reporter.progress(0.0, f"parsing with {flavour.title}")
        with parsed(model, flavour, origins) as network:
            _check_network(network, origins, reporter)
            sha256 = sha256_of(model, follow=True) if isinstance(model, Path) else ""
            if sha256:
                network.network.name = network_name(sha256)
            config = network.builder.create_builder_config()
            profiles = add_profile(network.builder, config, network.network, inputs)
            _configure(config, network.trt, options)
            capabilities = set_capabilities(config, flavour, options.compute_capabilities)
            config.progress_monitor = monitor
            plan = _plan(network, config, flavour, options, progress, origins, reporter)
            types = _border(network.network)
            layers, layers_from, needs = _describe(plan, network, flavour, origins, len(profiles))
            warnings = tuple(network.recording.texts(WARNING))
            del config
    return Engine(
        plan=plan, flavour=flavour.name, version=flavour.version_string, seconds=time.monotonic() - started, layers=layers,
        layers_from=layers_from, profiles=profiles, compute_capabilities=capabilities,
        workspace_bytes=options.workspace_bytes, tf32=options.tf32, needs=needs, types=types, warnings=warnings,
        model_sha256=sha256,
    )  # fmt: skip


def _check_network(network: Parsed, origins: Mapping[str, Origin], reporter: Reporter) -> None:
    """Compare GridSample modes with the model, report float64, and allow TensorRT to decompose attention."""
    for name in check_grid_samples(network.trt, network.network, network.graph, origins):
        reporter.note(f"GridSample node {name!r} has no TensorRT layer: its mode is not compared")
    if doubles := float64_values(network.graph):
        names = f"{', '.join(doubles[:3])} ({len(doubles)} values in total)"
        reporter.note(f"TensorRT has no float64: {names} become float32")
    allow_decomposition(network.trt, network.network)


def _plan(
    network: Parsed,
    config: Any,
    flavour: Flavour,
    options: EngineOptions,
    progress: Progress,
    origins: Mapping[str, Origin],
    reporter: Reporter,
) -> bytes:
    """Build the serialised engine, and update the timing cache. Raises EngineError and what a stopped build raises."""
    cache = None
    if options.timing_cache is not None:
        cache = attach_timing_cache(config, options.timing_cache, flavour, reporter)
    memory = network.builder.build_serialized_network(network.network, config)
    if progress.error is not None:
        raise progress.error
    if memory is None:
        raise _failure(network, progress, options, origins)
    plan = bytes(memory)
    progress.complete()
    if cache is not None and options.timing_cache is not None:
        store_timing_cache(memoryview(cache.serialize()), options.timing_cache, reporter)
    return plan


def _configure(config: Any, trt: Any, options: EngineOptions) -> None:
    # Detailed verbosity costs no speed; without it the layers list no types or nodes.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    set_flag = config.set_flag if options.tf32 else config.clear_flag
    set_flag(trt.BuilderFlag.TF32)
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level


def _border(network: Any) -> dict[str, str]:
    """The dtype of each input and output."""
    tensors = [network.get_input(i) for i in range(network.num_inputs)]
    tensors += [network.get_output(i) for i in range(network.num_outputs)]
    return {tensor.name: dtype_name(tensor.dtype) for tensor in tensors}


def _describe(
    plan: bytes, network: Parsed, flavour: Flavour, origins: Mapping[str, Origin], profiles: int
) -> tuple[list[LayerJson], LayersFrom, Needs | None]:
    trt = network.trt
    needs = logged_needs(network.recording, profiles)
    if gpu_present():
        runtime = trt.Runtime(logger_of(trt)[0])
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is not None:  # None: built for another GPU than this one
            return inspected_layers(trt, engine, origins), "inspector", engine_needs(trt, engine, needs)
    for listing in network.recording.raw(LAYER_LISTING):
        if layers := listed_layers(listing, origins):
            return layers, "builder", needs
    return network_layers(network.network, origins), "network", needs


def _failure(network: Parsed, progress: Progress, options: EngineOptions, origins: Mapping[str, Origin]) -> EngineError:
    if progress.stopped == "time":
        return EngineError(
            f"the build stopped at its time limit of {options.time_limit_s:g} s",
            "raise the limit, lower the optimization level, or use a timing cache",
        )
    if progress.stopped == "interrupt":
        return EngineError("the build was interrupted")
    reasons = network.recording.texts(ERROR)
    message = "; ".join(reasons[:3]) or "TensorRT gives no reason"
    names = [node.name for node in network.graph.graph.node if node.name]
    tokens = set(re.findall(r"[^\s,;:{}\[\]()]+", message))
    modules = [f"{n!r} is {o.describe()}" for n in names if n in tokens and (o := origin_of(n, origins)) is not None]
    remedy = "see TensorRT's reason"
    if "workspace limit" in message:
        remedy = f"raise the workspace limit ({options.workspace_bytes} bytes)"
    elif "driver version is insufficient" in message and "current" in options.compute_capabilities:
        remedy = "compute capability 'current' needs a GPU: pass the number, for example 8.6"
    return EngineError(f"TensorRT failed to build: {message}{'; ' if modules else ''}{', '.join(modules[:3])}", remedy)
