"""TorchScript archives: read, checked for eval mode, and converted to a program of torch.export."""

import io
import warnings
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ..options import SourceOptions
from .base import Reader
from .programs.document import TRUST
from .programs.script_archive import checked_script
from .programs.script_code import refused_node
from .settle import check_weights, settle
from .sniff import TORCHSCRIPT
from .specs import Parameter, resolve
from .torch_source import ScriptSource
from .words import reason

# aten operators with a flag that is true in training only, and the flag's place.
_TRAINING_FLAG = {"aten::dropout": 2, "aten::feature_dropout": 2, "aten::alpha_dropout": 2, "aten::batch_norm": 5}


def read_script(path: Path, options: SourceOptions) -> ScriptSource:
    """Read a TorchScript archive. Raises InputError if it is damaged or does not fit ``options``."""
    module = load_script(path, allow_pickle=options.allow_pickle)
    check_weights(module, str(path), needed=False)
    notes = settle(module)
    inputs, explicit = resolve(options, parameters(module))
    return ScriptSource(
        kind="torchscript", name=path.stem, path=path, module=module, inputs=inputs, explicit_dynamic=explicit,
        arch=str(module.original_name), notes=notes,
    )  # fmt: skip


READER = Reader(TORCHSCRIPT, read_script, has_architecture=True)


def load_script(path: Path, *, allow_pickle: bool = False) -> torch.jit.ScriptModule:
    """Load on the CPU. Without ``allow_pickle`` its code only computes on tensors: read before it is loaded, and once compiled.

    Raises InputError for a damaged or unsafe archive, and for a trace in training mode, which cannot be switched to eval.
    """
    try:
        data = path.read_bytes()
        if not allow_pickle:
            data = checked_script(data, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(data), map_location="cpu")
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path} cannot be read by torch.jit.load: {reason(error)}", "save it again") from error
    if not hasattr(module, "forward"):
        raise InputError(f"{path} holds a TorchScript module without forward", "script a module that has one")
    graph: Any = module.inlined_graph
    if not allow_pickle and (kind := refused_node(graph)):
        raise InputError(f"{path} has {kind} in its code, which can do more than compute on tensors", TRUST)
    _refuse_traced_training(module, path)
    return module


def parameters(module: torch.jit.ScriptModule) -> list[Parameter]:
    """The arguments of ``forward`` by its schema, without self. Raises InputError if a required one is not a tensor."""
    found = []
    for argument in module._c._get_method("forward").schema.arguments[1:]:
        required = not argument.has_default_value()
        if required and str(argument.type) not in ("Tensor", "Optional[Tensor]"):
            raise InputError(
                f"forward of the TorchScript module takes {argument.name!r} as {argument.type}",
                "script a module whose forward takes tensors only",
            )
        found.append(Parameter(argument.name, required, by_name=False))
    return found


def _refuse_traced_training(module: torch.jit.ScriptModule, path: Path) -> None:
    graph: Any = module.inlined_graph
    for kind, place in _TRAINING_FLAG.items():
        for node in graph.findAllNodes(kind, recurse=True):
            flag = list(node.inputs())[place]
            if flag.node().kind() == "prim::Constant" and flag.toIValue() is True:
                raise InputError(
                    f"{path} was traced in training mode ({kind.removeprefix('aten::')} is active)",
                    "trace module.eval() and save it again",
                )
