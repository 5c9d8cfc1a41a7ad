"""Functions of torch that a model's files know by a name, replaced for a while."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

_NOT_THE_MODEL_S = {"attnexport", "numpy", "onnx", "onnxscript", "sympy", "torch", *sys.stdlib_module_names} - {
    "__main__"
}
_COMPILED = "torch/_dynamo/eval_frame.py"  # the file of the functions that torch.compile returns
# Loaded files without any of the names, by (home, file): the module and its number of names. Every run of the reference looks.
_WITHOUT: dict[tuple[str, str], tuple[int, int]] = {}


@contextmanager
def replaced(stand_ins: Mapping[Any, Any], home: ModuleType) -> Iterator[None]:
    """Inside, each name of a loaded file outside torch, and of ``home``, that is a key of ``stand_ins`` is its value instead.

    ``torch.compile(function)`` counts as the function. A file that knew none of the functions, nor ``home``, is read again
    when it has other names.
    """
    known = {id(function): other for function, other in stand_ins.items()} | {id(home): None}
    found = [
        (names, name, value, other)
        for names in _files(known, home)
        for name, value in list(names.items())
        if (other := known.get(_identity(value))) is not None
    ]
    for names, name, _, other in found:
        names[name] = other
    try:
        yield
    finally:
        for names, name, value, _ in found:
            names[name] = value


def _files(known: Mapping[int, Any], home: ModuleType) -> Iterator[dict[str, Any]]:
    """The names of each loaded file that may know the functions."""
    yield vars(home)
    for file, module in list(sys.modules.items()):
        if file.partition(".")[0] in _NOT_THE_MODEL_S or not isinstance(
            names := getattr(module, "__dict__", None), dict
        ):
            continue
        key, state = (home.__name__, file), (id(module), len(names))
        if _WITHOUT.get(key) == state:
            continue
        if known.keys().isdisjoint(map(_identity, list(names.values()))):
            _WITHOUT[key] = state
        else:
            yield names


def _identity(value: Any) -> int:
    """The identity of a function, that of the original if torch.compile returned it, or of any other object."""
    if type(value) is FunctionType and value.__code__.co_filename.endswith(_COMPILED):
        value = value.__dict__.get("_torchdynamo_orig_callable", value)
    return id(value)
