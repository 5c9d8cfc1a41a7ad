"""How a module is called with the inputs of an export: by position where forward takes them so, by name where it does not.

Inputs have names. A name is a parameter of ``forward``, or a path into one: ``batch.image`` is the entry ``image`` of a
dictionary ``batch``, ``maps.0`` the first of a list ``maps``. So a name says where its tensor goes, and nothing else has to be kept.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...errors import InputError


def call(module: torch.nn.Module, names: Sequence[str], values: Sequence[Any]) -> Any:
    """``module`` on copies of ``values``, one per input name: a module may write into what it is given (``x *= 255``)."""
    own = [value.clone() if isinstance(value, torch.Tensor) else value for value in values]
    args, kwargs = arrange(module, names, own)
    return module(*args, **kwargs)


def arrange(
    module: torch.nn.Module, names: Sequence[str], values: Sequence[Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and the keyword arguments of ``forward`` that hold ``values``, one per input name, in their order.

    What has no name that ``forward`` knows goes by position, as do inputs of a ScriptModule. Raises InputError for a list that
    misses an entry, and for inputs of one argument that are not side by side.
    """
    signature = _signature(module)
    if signature is None:
        return tuple(values), {}
    parameters = signature.parameters
    kinds = {p.kind for p in parameters.values()}
    any_keyword = inspect.Parameter.VAR_KEYWORD in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds
    positional = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for name, value in _grouped(names, values, parameters):
        parameter = parameters.get(name)
        known = parameter is not None and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        in_place = not kwargs and len(args) < len(positional) and positional[len(args)] == name
        if (known and not in_place) or (not known and any_keyword):
            kwargs[name] = value
        else:
            args.append(value)
    return tuple(args), kwargs


def by_argument(module: torch.nn.Module, names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """The same under the names of forward's parameters: those of ``*args`` are one tuple, those of ``**kwargs`` one dictionary."""
    args, kwargs = arrange(module, names, values)
    return dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)


def _signature(module: torch.nn.Module) -> inspect.Signature | None:
    if isinstance(module, torch.jit.ScriptModule):
        return None
    try:
        return inspect.signature(module.forward)
    except (TypeError, ValueError):
        return None


def _grouped(
    names: Sequence[str], values: Sequence[Any], parameters: Mapping[str, inspect.Parameter]
) -> list[tuple[str, Any]]:
    """Paths into one argument put together: ``[("batch", {"image": …, "mask": …}), ("size", …)]``."""
    found: list[tuple[str, Any]] = []
    trees: dict[str, _Tree] = {}
    for name, value in zip(names, values, strict=True):
        root, dot, path = name.partition(".")
        if not dot or root not in parameters:
            found.append((name, value))
            continue
        if root not in trees:
            trees[root] = _Tree()
            found.append((root, trees[root]))
        elif found[-1][0] != root:
            raise InputError(
                f"input {name!r} stands apart from the others of {root!r}", "give them one after the other"
            )
        _put(trees[root], path.split("."), value, name)
    return [(name, _lists(value, name)) for name, value in found]


class _Tree(dict[str, Any]):
    """Told from dictionaries that are values themselves: torch.export wants one for each input that has dynamic axes."""


def _put(tree: _Tree, path: Sequence[str], value: Any, name: str) -> None:
    for part in path[:-1]:
        below = tree.setdefault(part, _Tree())
        if not isinstance(below, _Tree):
            raise InputError(f"input {name!r} lies inside another input", "give one tensor for each path")
        tree = below
    if path[-1] in tree:
        raise InputError(f"input {name!r} lies inside another input", "give one tensor for each path")
    tree[path[-1]] = value


def _lists(tree: Any, name: str) -> Any:
    """Dictionaries with the keys 0, 1, 2 … as lists."""
    if not isinstance(tree, _Tree):
        return tree
    below = {key: _lists(value, f"{name}.{key}") for key, value in tree.items()}
    if not all(key.isdigit() for key in below):
        return dict(below)
    if [int(key) for key in below] != list(range(len(below))):
        raise InputError(f"the entries of {name!r} are {', '.join(below)}", "count them from 0, in order")
    return list(below.values())
