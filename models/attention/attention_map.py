"""What a module looked at, as a tensor that can be drawn: the protocol of modules that have an attention map.

``map_kind`` says what ``attention_map`` gives for the arguments of ``forward``:

    gate        (N, C or 1, H or 1, W or 1)   the numbers that the input's channels and places are multiplied by
    tokens      (N, [heads,] L, S)            what each of L queries takes from each of S keys
    channels    (N, C, C)                     what each channel takes from each
    window      (N, heads, k*k, H, W)         what each place takes from the k x k window around it, row by row
    grid        (N, H, W, 2)                  where each place reads, (x, y) in the coordinates of ``grid_sample``

A window's module may have a ``stride``, a grid's has ``align_corners``. A map is computed beside ``forward`` from the same
weights, so that whoever wants none pays nothing, and the expressions that the two share are merged in an export.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

KINDS = ("gate", "tokens", "channels", "window", "grid")


@runtime_checkable
class HasAttentionMap(Protocol):
    """An ``nn.Module`` with an attention map."""

    map_kind: str

    def attention_map(self, *args: Any, **kwargs: Any) -> Tensor:
        """The map for the arguments of ``forward``. Its shape follows ``map_kind``."""
