"""torch.linspace with as many steps as a free axis is long: torch.export fixes that axis, since the kernel takes a plain integer.

    linspace(start, end, n)[i]  ->  start + i step                 in the first half,  step = (end - start) / (n - 1)
                                    end - (n - 1 - i) step         in the second

which is the kernel's own order of computing, so that both ends are exact; n = 1 gives start. Active while a module is traced, alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class KeepLinspace(TorchFunctionMode):
    """Inside this mode ``torch.linspace`` of a symbolic number of steps is computed from ``torch.arange``."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        if func is torch.linspace and isinstance(args[2] if len(args) > 2 else keywords.get("steps"), torch.SymInt):
            return _spaced(*args, **keywords)
        return func(*args, **keywords)


def _spaced(
    start: Any, end: Any, steps: Any, *, dtype: torch.dtype | None = None, device: Any = None, **rest: Any
) -> torch.Tensor:
    dtype = dtype or torch.get_default_dtype()
    # Tensors, for torch.onnx takes no symbolic number where the operator has a plain one.
    first, last, count = (torch.scalar_tensor(number, dtype=dtype, device=device) for number in (start, end, steps))
    place = torch.arange(steps, device=device).to(dtype)
    step = (last - first) / (count - 1).clamp(min=1)
    half = (count / 2).floor().clamp(min=1)
    return torch.where(place < half, first + place * step, last - (count - 1 - place) * step)
