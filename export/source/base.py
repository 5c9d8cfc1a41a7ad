"""What goes into loading and what comes out: the options a user gives, and one loaded source of any form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...runtime.spec import TensorSpec

if TYPE_CHECKING:
    import onnx
    import torch

Kind = Literal[
    "checkpoint", "state_dict", "exported_program", "torchscript", "pickle", "random", "factory", "module", "onnx"
]


@dataclass(frozen=True)
class SourceOptions:
    """The command line's options about the model that is handed in, not yet held to it."""

    arch: str | None = None
    """A name of the registry (``--arch``)."""
    factory: str | None = None
    """``package.module:callable`` that returns the module (``--factory``, or MODEL itself); the current directory is importable."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the architecture or factory (``--kwargs``, a JSON object)."""
    inputs: tuple[str, ...] = ()
    """``x=1x3x224x224[:float32]``, one per input of the model (``--input``)."""
    dynamic: tuple[str, ...] = ()
    """``x:AXIS=[SYMBOL=]min:opt:max`` (``--dynamic``); see :mod:`.inputs` for the whole spelling."""
    static: bool = False
    """No axis is symbolic."""
    allow_pickle: bool = False
    """Run the code that a pickled module imports. Only for files that are trusted."""
    random_weights: bool = False
    """With an architecture or a factory and no file: the weights it draws at seed 0."""
    own_weights: bool = False
    """With a factory and no file: the weights of the module that it returns (MODEL is ``package.module:callable``)."""


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
