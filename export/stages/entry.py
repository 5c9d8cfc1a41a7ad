"""From a loaded source to the captured graph and to the original that parity is measured against, whatever form it came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...errors import InputError, UnsupportedModelError, first_line
from ...runtime.bundle.sections import AttentionRecord
from ...runtime.inputs.feeds import random_feeds
from ...runtime.spec import Axis, TensorSpec
from ..capture import Captured
from ..capture.from_onnx import from_onnx
from ..capture.to_onnx import to_onnx
from ..capture.tracing.trace import FixedAxisError, export_program, run_once, trace_sizes
from ..forward.outputs import make_known, output_names
from ..progress import Reporter
from ..quiet import quiet
from ..reference.onnx_model import OnnxOriginal
from ..reference.original import Original
from ..reference.torch_model import TorchOriginal
from ..source import Source
from ..source.attention_maps import WithMaps, describe_maps, give_maps


@dataclass(frozen=True)
class CapturedModel:
    """A captured model with its original. ``inputs`` may be less dynamic than the source's, where a batch was only assumed.

    ``attention`` says which of the outputs are attention maps.
    """

    captured: Captured
    original: Original
    inputs: tuple[TensorSpec, ...]
    output_names: tuple[str, ...]
    attention: tuple[AttentionRecord, ...] = ()


def enter(
    source: Source, outputs: Sequence[str], seed: int, reporter: Reporter, *, attention: bool = False
) -> CapturedModel:
    """Capture a source. ``outputs``: the names that the user wants, or none; with ``attention`` maps are outputs, too.

    A batch that nobody asked for is given up, with a note, when the model fixes it; one that was asked for is an error.
    """
    if source.onnx is not None:
        if attention:
            raise InputError(
                f"{source.name} is an ONNX graph and has no modules with attention maps",
                "leave out --outputs attention",
            )
        names = tuple(output.name for output in source.onnx.graph.output)
        return CapturedModel(from_onnx(source.onnx), OnnxOriginal(source.onnx), source.inputs, names)
    if attention and source.module is not None:
        give_maps(source.module)
    try:
        return _enter_torch(source, source.inputs, outputs, seed)
    except FixedAxisError as error:
        if source.explicit_dynamic:
            raise
        fixed = tuple(replace(s, axes=tuple(Axis.fixed(a.opt) for a in s.axes)) for s in source.inputs)
        reporter.note(f"{error.problem}: exported with fixed shapes {', '.join(s.describe() for s in fixed)}")
        return _enter_torch(source, fixed, outputs, seed)


def trace(source: Source, inputs: tuple[TensorSpec, ...], seed: int) -> torch.export.ExportedProgram:
    """The traced program alone, before anything is translated. Raises UnsupportedModelError as :func:`enter` does."""
    if source.module is None:
        raise UnsupportedModelError(f"{source.name} holds no module")
    arrays = random_feeds(inputs, trace_sizes(inputs), seed=seed)
    feeds = [torch.from_numpy(arrays[spec.name]) for spec in inputs]
    make_known(run_once(source.module, inputs, feeds))
    return _program(source, source.module, inputs, feeds)


def _enter_torch(source: Source, inputs: tuple[TensorSpec, ...], outputs: Sequence[str], seed: int) -> CapturedModel:
    module = source.module
    if module is None:
        raise UnsupportedModelError(f"{source.name} holds no module")
    arrays = random_feeds(inputs, trace_sizes(inputs), seed=seed)
    feeds = [torch.from_numpy(arrays[spec.name]) for spec in inputs]
    result = run_once(module, inputs, feeds)
    make_known(result)
    maps = result.maps if isinstance(result, WithMaps) else {}
    returned = result.own if isinstance(result, WithMaps) else result
    own = output_names(returned, outputs or source.outputs, [spec.name for spec in inputs])
    names = (*own, *maps)
    captured = to_onnx(_program(source, module, inputs, feeds), inputs, names)
    _same_axes(captured, inputs)
    original = TorchOriginal(module, [s.name for s in inputs], names)
    attention = describe_maps(module, maps)
    if windows := [record.module for record in attention if record.kind == "window"]:
        text = f"the local attention of {', '.join(windows)} is not fused into one operator: its weights are outputs"
        captured = replace(captured, notes=(*captured.notes, text))
    return CapturedModel(captured, original, inputs, names, attention)


def _program(
    source: Source, module: torch.nn.Module, inputs: Sequence[TensorSpec], feeds: Sequence[torch.Tensor]
) -> torch.export.ExportedProgram:
    if source.exported is not None:
        return source.exported
    if isinstance(module, torch.jit.ScriptModule):
        return _from_script(module, feeds)
    return export_program(module, inputs, feeds)


def _from_script(module: torch.jit.ScriptModule, feeds: Sequence[torch.Tensor]) -> torch.export.ExportedProgram:
    """torch.export takes no ScriptModule; torch's own converter rebuilds its graph first, every axis free that can be."""
    from torch._export.converter import TS2EPConverter

    try:
        with quiet(), torch.no_grad():
            program: torch.export.ExportedProgram = TS2EPConverter(module, tuple(feeds)).convert()
    except Exception as error:
        raise UnsupportedModelError(
            f"TorchScript cannot be converted to torch.export: {first_line(error)}",
            "hand in the module that it was made from",
        ) from error
    return program


def _same_axes(captured: Captured, inputs: Sequence[TensorSpec]) -> None:
    """A program that was traced elsewhere may have fixed an axis that is asked to be dynamic."""
    fixed = []
    for value, spec in zip(captured.model.graph.input, inputs, strict=True):
        dims: Any = value.type.tensor_type.shape.dim
        for i, (dim, axis) in enumerate(zip(dims, spec.axes, strict=True)):
            if axis.dynamic and dim.HasField("dim_value") and axis.min != axis.max:
                fixed.append((spec.name, i, int(dim.dim_value)))
    if fixed:
        said = ", ".join(f"axis {axis} of {name!r} at {size}" for name, axis, size in fixed)
        raise FixedAxisError(
            fixed,
            f"the traced program fixes {said}, so it cannot be dynamic",
            "trace it with that axis dynamic, or give --static",
        )
