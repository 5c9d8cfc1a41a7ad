"""Functions of torch that a model's files know by a name, replaced for a while."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_NOT_THE_MODEL_S = {"attnexport", "numpy", "onnx", "onnxscript", "sympy", "torch", *sys.stdlib_module_names} - {
    "__main__"
}


@contextmanager
def replaced(stand_ins: Mapping[Any, Any], home: Any) -> Iterator[None]:
    """Inside, each name of a loaded file outside torch, and of ``home``, that is a key of ``stand_ins`` is its value instead.

    ``torch.compile(function)`` counts as the function.
    """

    def stand_in(value: Any) -> Any:
        try:
            return stand_ins.get(getattr(value, "_torchdynamo_orig_callable", value)) if callable(value) else None
        except Exception:  # not hashable, or an attribute that raises
            return None

    modules = [m for name, m in list(sys.modules.items()) if name.partition(".")[0] not in _NOT_THE_MODEL_S]
    found = [
        (names, name, value, other)
        for module in (*modules, home)
        if isinstance(names := getattr(module, "__dict__", None), dict)
        for name, value in list(names.items())
        if (other := stand_in(value)) is not None
    ]
    for names, name, _, other in found:
        names[name] = other
    try:
        yield
    finally:
        for names, name, value, _ in found:
            names[name] = value
