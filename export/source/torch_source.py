"""Sources that are PyTorch modules, loaded or in memory. They differ in how torch.export's program is obtained."""

import copy
import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...errors import InputError, UnsupportedModelError, first_line
from ...runtime.inputs.feeds import random_feeds
from ...runtime.spec import TensorSpec
from ..capture import Captured
from ..capture.plain import plain_onnx, through_second_door
from ..capture.to_onnx import to_onnx
from ..capture.tracing.branches import check_branches
from ..capture.tracing.trace import FixedAxisError, export_program, run_once, trace_sizes
from ..forward.outputs import make_known, output_names
from ..options import SourceOptions
from ..quiet import quiet
from ..reference.torch_model import TorchOriginal
from .attention_maps import WithMaps, describe_maps, with_maps
from .base import CapturedModel, Source
from .settle import check_weights, settle
from .specs import forward_parameters, resolve


@dataclass(frozen=True, kw_only=True)
class TorchSource(Source):
    """A module in eval mode, FP32, on the CPU. Subclasses define :meth:`program_of`."""

    module: torch.nn.Module

    @abstractmethod
    def program_of(self, module: torch.nn.Module, feeds: Sequence[torch.Tensor]) -> torch.export.ExportedProgram:
        """Return the traced program of ``module``: :attr:`module`, or its copy that also returns attention maps."""

    def program(self, seed: int) -> torch.export.ExportedProgram:
        """Return the traced program without translating it. Raises UnsupportedModelError as :meth:`capture` does."""
        feeds = self._feeds(seed)
        make_known(run_once(self.module, self.inputs, feeds))
        return self.program_of(self.module, feeds)

    def capture(self, outputs: Sequence[str], seed: int, *, attention: bool = False) -> CapturedModel:
        """See :meth:`Source.capture`."""
        module, feeds = with_maps(self.module) if attention else self.module, self._feeds(seed)
        input_names = [spec.name for spec in self.inputs]
        result = run_once(module, self.inputs, feeds)
        make_known(result)
        maps = result.maps if isinstance(result, WithMaps) else {}
        returned = result.result if isinstance(result, WithMaps) else result
        names = (*output_names(returned, outputs or self.outputs, input_names), *maps)
        captured = self._captured(module, feeds, names)
        records = describe_maps(module, maps)
        if windows := ", ".join(record.module for record in records if record.kind == "window"):
            note = f"the local attention of {windows} is not fused into one operator: its weights are outputs"
            captured = replace(captured, notes=(*captured.notes, note))
        return CapturedModel(captured, TorchOriginal(module, input_names, names), self.inputs, names, records)

    def _captured(self, module: torch.nn.Module, feeds: Sequence[torch.Tensor], names: Sequence[str]) -> Captured:
        """Through attnexport's capture, or plain torch.onnx if that fails."""
        try:
            program = self.program_of(module, feeds)
            captured = to_onnx(program, self.inputs, names)
            _check_axes(captured, self.inputs)
            notes = check_branches(program, module, self.inputs)
        except InputError as error:
            if not isinstance(error, UnsupportedModelError):
                raise
            first = error
        except Exception as error:  # a fault of ours is not a reason to refuse what torch.onnx exports
            first = UnsupportedModelError(
                f"attnexport's capture failed with {type(error).__name__}: {first_line(error)}", "report it"
            )
        else:
            return replace(captured, notes=(*captured.notes, *notes))
        return through_second_door(
            first, lambda: plain_onnx(self.plain_of(module, feeds), module, self.inputs, feeds, names)
        )

    def plain_of(
        self, module: torch.nn.Module, feeds: Sequence[torch.Tensor]
    ) -> torch.nn.Module | torch.export.ExportedProgram:
        """Return what plain torch.onnx takes: the traced program, as long as a subclass has nothing better."""
        return self.program_of(module, feeds)

    def _feeds(self, seed: int) -> list[torch.Tensor]:
        arrays = random_feeds(self.inputs, trace_sizes(self.inputs), seed=seed)
        return [torch.from_numpy(arrays[spec.name]) for spec in self.inputs]


@dataclass(frozen=True, kw_only=True)
class ModuleSource(TorchSource):
    """A Python module: from memory, a pickle, a factory, or the registry."""

    def program_of(self, module: torch.nn.Module, feeds: Sequence[torch.Tensor]) -> torch.export.ExportedProgram:
        """Trace the module."""
        return export_program(module, self.inputs, feeds)

    def plain_of(self, module: torch.nn.Module, feeds: Sequence[torch.Tensor]) -> torch.nn.Module:
        """The module itself."""
        return module


@dataclass(frozen=True, kw_only=True)
class ScriptSource(TorchSource):
    """A TorchScript module. torch's converter rebuilds its graph as a program, with as many free axes as possible."""

    def program_of(self, module: torch.nn.Module, feeds: Sequence[torch.Tensor]) -> torch.export.ExportedProgram:
        """Convert the module, since torch.export takes no ScriptModule."""
        from torch._export.converter import TS2EPConverter

        assert isinstance(module, torch.jit.ScriptModule)
        try:
            with quiet(), torch.no_grad():
                program: torch.export.ExportedProgram = TS2EPConverter(module, tuple(feeds)).convert()
        except Exception as error:
            raise UnsupportedModelError(
                f"TorchScript cannot be converted to torch.export: {first_line(error)}",
                "pass the module from which it was made",
            ) from error
        return program


def module_source(module: torch.nn.Module, **fields: Any) -> TorchSource:
    """Return the source of a module in memory, which may be a ScriptModule; ``fields`` are those of :class:`Source`."""
    kind = ScriptSource if isinstance(module, torch.jit.ScriptModule) else ModuleSource
    return kind(module=module, **fields)


def _check_axes(captured: Captured, inputs: Sequence[TensorSpec]) -> None:
    """Raise FixedAxisError if a program that was traced elsewhere has fixed an axis that should be dynamic."""
    fixed = [
        (spec.name, i, int(dim.dim_value))
        for value, spec in zip(captured.model.graph.input, inputs, strict=True)
        for i, (dim, axis) in enumerate(zip(value.type.tensor_type.shape.dim, spec.axes, strict=True))
        if axis.dynamic and dim.HasField("dim_value") and axis.min != axis.max
    ]
    if fixed:
        places = ", ".join(f"axis {axis} of {name!r} at {size}" for name, axis, size in fixed)
        raise FixedAxisError(
            fixed,
            f"the traced program fixes {places}, so it cannot be dynamic",
            "trace it with that axis dynamic, or pass --static",
        )


def name_of(module: torch.nn.Module) -> str:
    """Return the name of the module's bundle: its class, such as ``GatedResNet``."""
    return re.sub(r"\W", "_", type(module).__name__)


def source_of(module: torch.nn.Module, options: SourceOptions, task: str | None) -> TorchSource:
    """Return a copy of the module as a source: in eval mode, FP32, on the CPU, with the inputs that ``options`` describe.

    Raises InputError for unusable weights, inputs that do not fit ``forward``, and a module that cannot be copied.
    """
    name = name_of(module)
    try:
        replica = copy.deepcopy(module)
    except Exception as error:  # whatever a module's parts raise: locks, open files, tensors with a gradient graph
        raise InputError(
            f"{name} cannot be copied ({first_line(error)}), and the export changes only its copy",
            "pass a module that copy.deepcopy takes, without tensors that have a gradient graph",
        ) from error
    check_weights(replica, name, needed=False)
    notes = settle(replica, fresh=True)
    if module.training:
        notes = (*notes, "the module is in training mode: its copy was switched to eval")
    inputs, explicit = resolve(options, forward_parameters(replica.forward))
    return module_source(
        replica, kind="module", name=name, inputs=inputs, task=task, arch=name, explicit_dynamic=explicit,
        notes=notes,
    )  # fmt: skip
