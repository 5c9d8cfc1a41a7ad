"""What goes into loading and what comes out: the options a user gives, and one loaded source of any form."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...runtime.spec import TensorSpec

if TYPE_CHECKING:
    import onnx
    import torch

Kind = Literal[
    "checkpoint", "state_dict", "exported_program", "torchscript", "pickle", "random", "factory", "module", "onnx"
]


@dataclass
class Source:
    """A model as it came in, before anything is exported.

    ``module`` is the original in eval mode, FP32, on the CPU (a ScriptModule for TorchScript); None only for ONNX.
    ``exported`` is set for ``.pt2`` files, ``onnx`` for ONNX files (weights loaded, inputs as in ``inputs``).
    """

    kind: Kind
    path: Path | None
    name: str
    sha256: str | None
    module: torch.nn.Module | None
    exported: torch.export.ExportedProgram | None
    onnx: onnx.ModelProto | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...] = ()
    task: str | None = None
    arch: str | None = None
    explicit_dynamic: bool = False
    """Whether the dynamic axes were asked for (by the user, or stored with the model) rather than assumed."""
    notes: list[str] = field(default_factory=list)
    """What was decided on the way and the user should know, one line each."""
