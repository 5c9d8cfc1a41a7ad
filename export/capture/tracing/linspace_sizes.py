"""torch.linspace with as many steps as a free axis is long: torch.export fixes that axis, since the kernel takes a plain integer.

    linspace(start, end, n)[i]  ->  start + i step                 in the first half,  step = (end - start) / (n - 1)
                                    end - (n - 1 - i) step         in the second

which is the kernel's own order of computing, so that both ends are exact; n = 1 gives start. Active while a module is traced, alone.
"""

from __future__ import annotations

from typing import Any

import torch

from .function_overrides import Overrides


def _linspace(start: Any, end: Any, steps: Any, **rest: Any) -> Any:
    return _spaced(start, end, steps, **rest) if isinstance(steps, torch.SymInt) else NotImplemented


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


OVERRIDES: Overrides = {torch.linspace: _linspace}
"""``torch.linspace`` of a symbolic number of steps is computed from ``torch.arange``."""
