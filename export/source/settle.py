"""Put a loaded module into eval mode, FP32, on the CPU, and refuse unusable weights."""

from collections.abc import Iterable

import torch
from torch.nn.parameter import is_lazy

from ...errors import InputError
from .words import first_few

_FLOAT8 = tuple(getattr(torch, n) for n in dir(torch) if n.startswith(("float8_", "float4_")))


def check_tensor(name: str, tensor: torch.Tensor, where: str, *, buffer: bool = False) -> None:
    """Refuse quantised, sparse, meta and non-finite tensors by name; a buffer may hold infinities (masks)."""
    if tensor.is_quantized or tensor.dtype in _FLOAT8:
        raise InputError(
            f"weight {name!r} of {where} is quantised ({str(tensor.dtype).removeprefix('torch.')})",
            "give the float weights: attnexport sets precision itself",
        )
    if tensor.layout is not torch.strided:
        raise InputError(f"weight {name!r} of {where} is sparse", "save it dense: tensor.to_dense()")
    if tensor.is_meta:
        raise InputError(f"weight {name!r} of {where} is on the meta device and has no values", "save loaded weights")
    if not tensor.is_floating_point() and not tensor.is_complex():
        return
    bad = tensor.isnan() if buffer else ~tensor.isfinite()
    if count := int(bad.sum()):
        kind = "NaN" if bool(tensor.isnan().any()) else "Inf"
        raise InputError(
            f"weight {name!r} of {where} holds {kind} ({count} of {tensor.numel()} values)",
            "give a checkpoint that trained well",
        )


def check_weights(module: torch.nn.Module, where: str, *, needed: bool = True) -> None:
    """Raise InputError for unusable weights or, if they are ``needed``, for a module without weights."""
    parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    if needed and not parameters and not buffers:
        raise InputError(f"{where} has no parameters and no buffers: nothing in it was trained", "give a trained model")
    _refuse_quantised(module, where)
    for name, tensor in {**parameters, **buffers}.items():
        if is_lazy(tensor):
            raise InputError(f"weight {name!r} of {where} is lazy and has no shape yet", "run the module, then save it")
        check_tensor(name, tensor, where, buffer=name in buffers)


def settle(module: torch.nn.Module, *, fresh: bool = False) -> tuple[str, ...]:
    """Put a checked ``module`` into eval mode, FP32, on the CPU, without gradients, and return notes on what changed.

    ``module`` is changed in place. ``fresh``: the module was built by this package, so it is in training mode by default
    and needs no note.
    """
    notes: list[str] = []
    if not fresh and (training := [n for n, m in module.named_modules() if m.training]):
        what = "module was" if "" in training else f"{first_few([repr(n) for n in training])} was"
        notes.append(f"{what} in training mode: switched to eval")
    notes += converted([*module.parameters(), *module.buffers()])
    module.cpu().float().eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return tuple(notes)


def converted(tensors: Iterable[torch.Tensor]) -> list[str]:
    """Return a note if some of the tensors are of another floating type than FP32."""
    kinds = {str(t.dtype).removeprefix("torch.") for t in tensors if t.is_floating_point()} - {"float32"}
    return [f"{' and '.join(sorted(kinds))} weights converted to float32"] if kinds else []


def _refuse_quantised(module: torch.nn.Module, where: str) -> None:
    for name, part in module.named_modules():
        # A scripted module keeps its Python class in the name of its TorchScript type.
        scripted = isinstance(part, torch.jit.ScriptModule)
        kind = str(part._c._type()) if scripted else f"{type(part).__module__}.{type(part).__name__}"
        if ".quantized." in kind:
            raise InputError(
                f"module {name or '<root>'!r} of {where} is quantised ({kind.rpartition('.')[2]})",
                "give the float model: attnexport sets precision itself",
            )
