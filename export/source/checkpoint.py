"""The checkpoint that attnexport writes and reads: an architecture's name and arguments, its weights and inputs.

A file made by ``torch.save`` of plain containers and tensors, which ``torch.load(weights_only=True)`` reads without running code.
Layout (version 1)::

    {"attnexport": 1, "arch": "digits_sasa", "kwargs": {...}, "state_dict": {...},
     "inputs": [TensorSpec.to_json(), ...], "outputs": ["logits"], "task": "classification" | "segmentation" | "sequence" | None}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...runtime.files.write import new_file
from ...runtime.metrics import TASKS
from ...runtime.spec import TensorSpec

if TYPE_CHECKING:
    import torch

VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file; the weights are not loaded into a module yet."""

    arch: str
    kwargs: dict[str, Any]
    state_dict: "dict[str, torch.Tensor]"
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    task: str | None


def save(
    module: "torch.nn.Module",
    path: str | Path,
    *,
    inputs: Sequence[TensorSpec | Mapping[str, Any]],
    outputs: Sequence[str] = (),
    task: str | None = None,
    arch: str | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``module`` so that ``attnexport PATH`` needs no further option.

    A module built by ``attnexport.models.registry.build`` stores its name and arguments. For other modules, pass ``arch`` (for
    information only: loading it takes ``--factory package.module:callable``) and ``kwargs`` of plain JSON values.

    ``inputs``: one spec per argument of ``forward``, in order, for example
    ``{"name": "x", "dtype": "float32", "axes": [{"symbol": "batch", "min": 1, "opt": 4, "max": 16}, 3, 32, 32]}``.
    ``task`` describes the first output and selects the reported figures: ``classification`` logits (N, classes), top-1 and top-5
    agreement; ``segmentation`` logits (N, classes, H, W), IoU; ``sequence`` logits (N, ..., tokens) of that name, token accuracy.
    The file is written whole or not at all. Raises InputError for an unknown task or a module without a name.
    """
    import torch

    from ...models import registry

    described = registry.describe(module)
    if arch is None:
        if described is None:
            raise InputError(
                f"{type(module).__name__} was not built by the registry, so its architecture has no name",
                "pass arch= and kwargs=, and load it with --factory package.module:callable",
            )
        arch, kwargs = described
    if task is not None and task not in TASKS:
        raise InputError(f"task {task!r} is not known", f"use one of {', '.join(TASKS)}, or none")
    specs = [s if isinstance(s, TensorSpec) else TensorSpec.from_json(s) for s in inputs]
    content = {
        "attnexport": VERSION, "arch": arch, "kwargs": dict(kwargs or {}),
        "state_dict": {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()},
        "inputs": [s.to_json() for s in specs], "outputs": list(outputs), "task": task,
    }  # fmt: skip
    path = Path(path)
    with new_file(path) as file:
        torch.save(content, file)
    return path


def is_checkpoint(content: object) -> bool:
    """Return whether an object read with ``weights_only=True`` is such a checkpoint."""
    return isinstance(content, dict) and "attnexport" in content


def parse(content: dict[str, Any], where: str) -> Checkpoint:
    """Check the content of a file. Raises InputError naming the wrong field."""
    version = content.get("attnexport")
    if version != VERSION:
        raise InputError(f"{where} is a checkpoint of version {version!r}", f"this attnexport reads version {VERSION}")
    fields: dict[str, type | tuple[type, ...]] = {
        "arch": str, "kwargs": dict, "state_dict": dict, "inputs": list, "outputs": list, "task": (str, type(None)),
    }  # fmt: skip
    for name, kind in fields.items():
        if name not in content:
            raise InputError(f"{where} has no field {name!r}", "write it with attnexport.save")
        if not isinstance(content[name], kind):
            raise InputError(
                f"field {name!r} of {where} is a {type(content[name]).__name__}", "write it with attnexport.save"
            )
    inputs = tuple(TensorSpec.from_json(s) for s in content["inputs"])
    outputs = tuple(str(o) for o in content["outputs"])
    return Checkpoint(content["arch"], content["kwargs"], content["state_dict"], inputs, outputs, content["task"])
