"""Attention maps as additional outputs: hooks on the modules that have one, and a description of each output.

The exported model keeps its class, so paths, weights and the signature of ``forward`` are the same with and without
maps. A hook on each module computes its map from the arguments of ``forward``; a hook on the model returns all maps
beside the model's result. An expression that a map shares with ``forward`` exists once in the exported graph.
"""

import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...models.attention.attention_map import KINDS, HasAttentionMap
from ...runtime.bundle.sections import AttentionRecord

PREFIX = "attention"

_DETAILS = {"window": "stride", "grid": "align_corners"}
"""The attribute of a module that is needed to draw its map, by kind."""


class WithMaps(NamedTuple):
    """What a model returns with its maps: its result, and the maps by name, in the order of the calls."""

    result: Any
    maps: dict[str, Tensor]


@dataclass
class _Recorder:
    """The maps of the running forward pass. Its hooks are methods, not closures, so that a copy of the model gets its own."""

    maps: dict[str, Tensor] = field(default_factory=dict)
    computing: bool = False

    def start(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Forward pre-hook of the model: delete the maps of a pass that failed."""
        self.maps.clear()

    def hand_out(self, module: nn.Module, args: tuple[Any, ...], result: Any) -> WithMaps:
        """Forward hook of the model."""
        maps = dict(self.maps)
        self.maps.clear()
        return WithMaps(result, maps)


@dataclass(frozen=True)
class _Keep:
    """Forward hook of one module, an object for the same reason.

    Modules that are called to compute a map run hooks, too; these add no maps. A module that is called again adds
    another map, with a number.
    """

    recorder: _Recorder
    name: str

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        if self.recorder.computing:
            return
        assert isinstance(module, HasAttentionMap)
        self.recorder.computing = True
        try:
            found = module.attention_map(*args, **kwargs)
        finally:
            self.recorder.computing = False
        calls = sum(name == self.name or name.startswith(f"{self.name}#") for name in self.recorder.maps)
        self.recorder.maps[f"{self.name}#{calls + 1}" if calls else self.name] = found


def with_maps(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` that returns :class:`WithMaps`. The copy shares the weights and the state dict's names.

    Raises InputError if no module in it has a map.
    """
    holders = _holders(model)
    if not holders:
        why = ": a traced program has no modules left" if _traced(model) else ""
        raise InputError(
            f"no module of {type(model).__name__} has an attention map{why}", "leave out --outputs attention"
        )
    model = copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
    recorder = _Recorder()
    model.register_forward_pre_hook(recorder.start)
    for path in holders:
        name = f"{PREFIX}.{path}" if path else PREFIX
        model.get_submodule(path).register_forward_hook(_Keep(recorder, name), with_kwargs=True)
    model.register_forward_hook(recorder.hand_out)
    return model


def describe_maps(model: nn.Module, maps: dict[str, Tensor]) -> tuple[AttentionRecord, ...]:
    """Return the manifest's records of the maps that ``model`` returned, in their order."""
    holders = _holders(model)
    records = []
    for name in maps:
        path = name.partition("#")[0].removeprefix(PREFIX).removeprefix(".")
        module = holders[path]
        detail = {key: getattr(module, key) for key in (_DETAILS.get(module.map_kind),) if key and hasattr(module, key)}
        records.append(AttentionRecord(name, path, type(module).__name__, module.map_kind, detail))
    return tuple(records)


def _holders(model: nn.Module) -> dict[str, HasAttentionMap]:
    if _traced(model):
        return {}
    found: dict[str, HasAttentionMap] = {}
    for path, module in model.named_modules():
        if isinstance(module, HasAttentionMap):
            if module.map_kind not in KINDS:
                raise InputError(
                    f"map_kind {module.map_kind!r} of module {path or '<root>'!r} is not known",
                    f"use {', '.join(KINDS)}",
                )
            found[path] = module
    return found


def _traced(model: nn.Module) -> bool:
    return isinstance(model, torch.jit.ScriptModule | torch.fx.GraphModule)
