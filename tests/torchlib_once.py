"""torch.onnx reads the source of each of its translations anew at every export; a process of tests reads them once.

That is half the time of a small export, and what was read does not change. Processes that a test starts read for themselves.
"""

from __future__ import annotations

from functools import cache
from typing import Any


def remember() -> None:
    """Have torch.onnx copy the registry of its first export, and look at each composite operator of the dispatcher once.

    A torch that keeps these functions elsewhere stays as it is: the tests take longer.
    """
    try:
        from torch._export import utils
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        read, look_at_all = ONNXRegistry.from_torchlib, utils._materialize_cpp_cia_ops
    except (ImportError, AttributeError):
        return
    if look_at_all is _look_at_new_ones:
        return
    first = cache(lambda version: read(version) if version else read())

    def copied(cls: type[Any], opset_version: int | None = None) -> Any:
        registry = cls()
        registry._opset_version = first(opset_version)._opset_version
        # Translations of an export's own go into these lists.
        registry.functions = {target: list(found) for target, found in first(opset_version).functions.items()}
        return registry

    ONNXRegistry.from_torchlib = classmethod(copied)
    utils._materialize_cpp_cia_ops = _look_at_new_ones


def _look_at_new_ones() -> None:
    """Bring the composite operators that were registered since the last call into torch.ops."""
    import torch

    registered = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
    if registered == _LOOKED_AT:
        return
    known = set(_LOOKED_AT)
    for name in registered:
        if name not in known:
            namespace, _, operator = name.partition("::")
            operator, _, overload = operator.partition(".")
            getattr(getattr(getattr(torch.ops, namespace), operator), overload or "default")
    _LOOKED_AT[:] = registered


_LOOKED_AT: list[str] = []
