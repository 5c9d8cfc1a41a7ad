"""Calls that are traced in our way and not in torch's: one mode for all, active while a module is traced, alone.

Who has such a call gives a table of functions and of what takes their place (``affine_grid_op``, ``linspace_sizes``, ``chunk_sizes``,
``translate_linear_systems``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch.overrides import TorchFunctionMode

Overrides = Mapping[Any, Callable[..., Any]]
"""By torch's function, ours of the same arguments; it gives NotImplemented for a call that stays torch's."""


class FunctionOverrides(TorchFunctionMode):
    """Inside this mode the functions of the tables are ours."""

    def __init__(self, *tables: Overrides) -> None:
        super().__init__()
        self._own = {func: own for table in tables for func, own in table.items()}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        if (own := self._own.get(func)) is not None and (result := own(*args, **keywords)) is not NotImplemented:
            return result
        return func(*args, **keywords)
