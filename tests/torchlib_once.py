"""What torch.onnx does anew at every export and a process of tests does once: half the time of a small export.

It reads the source of each of its translations, collects the decompositions, puts 5,000 functions in place of the composite operators'
own, and reads the schema of an operator at every node. Processes that a test starts do all of it for themselves.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


def remember() -> None:
    """Keep what does not change from one export to the next.

    A torch that keeps these functions elsewhere stays as it is: the tests take longer.
    """
    try:
        from torch._export import utils
        from torch.export import decomp_utils, exported_program
        from torch.onnx._internal.exporter import _decomp
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        if utils._materialize_cpp_cia_ops is _look_at_new_ones:
            return
        read, collect = ONNXRegistry.from_torchlib, utils._collect_all_valid_cia_ops
        decompositions = _decomp.create_onnx_friendly_decomposition_table
        once = OverridesOnce(exported_program._override_composite_implicit_decomp)
    except (ImportError, AttributeError):
        return
    first = cache(lambda version: read(version) if version else read())

    def copied(cls: type[Any], opset_version: int | None = None) -> Any:
        registry = cls()
        registry._opset_version = first(opset_version)._opset_version
        # Translations of an export's own go into these lists.
        registry.functions = {target: list(found) for target, found in first(opset_version).functions.items()}
        return registry

    table = cache(lambda translated, _registered: decompositions(set(translated)))
    collected = cache(lambda _registered: frozenset(collect()))
    ONNXRegistry.from_torchlib = classmethod(copied)
    _decomp.create_onnx_friendly_decomposition_table = lambda ops: dict(table(frozenset(ops), _composite()))
    for module in (exported_program, decomp_utils):
        module._collect_all_valid_cia_ops = lambda: set(collected(_composite()))
    exported_program._override_composite_implicit_decomp = once.override
    utils._materialize_cpp_cia_ops = _look_at_new_ones
    _read_schemas_once()


def _read_schemas_once() -> None:
    """Keep the signatures of ONNX's operators, and the members of protocols, which Python 3.11 and older collect at each isinstance."""
    from onnx_ir.schemas import OpSignature

    read, signatures = OpSignature.from_op_schema, dict[Any, Any]()

    def signature(cls: type[Any], schema: Any) -> Any:
        if schema.domain:
            return read(schema)  # a test may register another of that name
        key = schema.name, schema.since_version
        if key not in signatures:
            signatures[key] = read(schema)
        return signatures[key]

    OpSignature.from_op_schema = classmethod(signature)  # type: ignore[method-assign, assignment]
    if hasattr(typing, "_get_protocol_attrs"):
        typing._get_protocol_attrs = cache(typing._get_protocol_attrs)


class OverridesOnce:
    """torch's context that overrides composite operators; what it registers for an operator is kept for the next time."""

    def __init__(self, original: Callable[[dict[Any, Any]], Any]) -> None:
        from torch._subclasses.fake_impls import op_implementations_dict

        self._original, self._fake = original, op_implementations_dict
        self._kept: dict[Any, tuple[Any, Any, Any, Any]] = {}

    @contextmanager
    def override(self, decompositions: dict[Any, Any]) -> Iterator[None]:
        """As torch's: each operator's kernels and its rule for fake tensors, until the end of the context."""
        before = {op: (dict(op.py_kernels), self._fake.get(op)) for op in decompositions}
        known = {
            op: self._kept[op, by][2:]
            for op, by in decompositions.items()
            if (op, by) in self._kept and self._kept[op, by][:2] == before[op]
        }
        with self._original({op: by for op, by in decompositions.items() if op not in known}):
            for op, by in decompositions.items():
                if op not in known:
                    self._kept[op, by] = (*before[op], dict(op.py_kernels), self._fake.get(op))
            try:
                for op, (kernels, rule) in known.items():
                    _register(op, kernels)
                    if rule is not None:
                        self._fake[op] = rule
                yield
            finally:
                for op in known:
                    _register(op, before[op][0])
                    self._fake.pop(op, None)


def _register(op: Any, kernels: dict[Any, Any]) -> None:
    op.py_kernels.clear()
    op.py_kernels.update(kernels)
    op._dispatch_cache.clear()


def _composite() -> int:
    """How many composite operators are registered."""
    import torch

    return len(torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd"))


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
