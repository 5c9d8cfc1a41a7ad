"""Functions of torch that are traced in another way: one mode for all of them, active only while a module is traced.

``affine_grid_op``, ``linspace_sizes``, ``chunk_sizes`` and ``linear_systems`` each provide a table of overrides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch.overrides import TorchFunctionMode

Overrides = Mapping[Any, Callable[..., Any]]
"""Replacements by torch function, with the same arguments; a replacement returns NotImplemented to leave a call to torch."""


class FunctionOverrides(TorchFunctionMode):
    """Inside this mode, the replacements of the tables are called."""

    def __init__(self, *tables: Overrides) -> None:
        super().__init__()
        self._overrides = {func: override for table in tables for func, override in table.items()}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        override = self._overrides.get(func)
        if override is not None and (result := override(*args, **keywords)) is not NotImplemented:
            return result
        return func(*args, **keywords)
