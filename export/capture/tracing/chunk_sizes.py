"""torch.chunk and split of a free axis: torch.export fixes it, or leaves a sequence of parts that no graph can hold.

    chunk(cat((a, b)), 2)  ->  two narrows of N            2N = 2 N: RAFT, Siamese networks, guidance in diffusion
    chunk(x, k)            ->  k - 1 narrows of L = ceil(n / k), and one of n - (k - 1) L         where n > (k - 1)^2

The kernel counts the parts as ceil(n / L), which is k for each n that equal parts make up, and for each n above (k - 1)^2, since
(k - 1) L <= (k - 1) (n + k - 1) / k < n; torch's solver sees neither. Refused: chunks of an axis that may be smaller, for there may be
fewer (4 in chunks of ceil(4 / 3) are two). Left to torch: a size that is a number, and split by one. Active while a module is
traced, alone.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.utils._sympy.value_ranges import bound_sympy

from .function_overrides import Overrides

_CHUNKS: set[Any] = {torch.chunk, torch.Tensor.chunk, torch.unsafe_chunk, torch.Tensor.unsafe_chunk}
_SPLITS: set[Any] = {torch.split, torch.Tensor.split, torch.unsafe_split, torch.Tensor.unsafe_split}


class UnevenPartsError(Exception):
    """``dim`` of a tensor may be too small to be cut into ``chunks`` parts."""

    def __init__(self, dim: int, chunks: int) -> None:
        self.least = (chunks - 1) ** 2 + 1
        super().__init__(
            f"cuts axis {dim} of a tensor into {chunks} parts, and below a size of {self.least} there may be fewer"
        )


def chunk_calls(ranges: Mapping[Any, Any]) -> Overrides:
    """An axis of symbolic size is cut without a question about its size. ``ranges``: torch's, of the inputs' sizes."""

    def chunk(input: torch.Tensor, chunks: int, dim: int = 0) -> Any:
        size: Any = input.shape[dim]
        if not isinstance(size, torch.SymInt) or chunks < 1:
            return NotImplemented
        if statically_known_true(size % chunks == 0):
            return _narrows(input, size // chunks, chunks, dim)
        if bound_sympy(size.node.expr, dict(ranges)).lower <= (chunks - 1) ** 2:
            raise UnevenPartsError(dim, chunks)
        length = (size + chunks - 1) // chunks
        last = (chunks - 1) * length
        return (*_narrows(input, length, chunks - 1, dim), input.narrow(dim, last, size - last))

    return {**dict.fromkeys(_CHUNKS, chunk), **dict.fromkeys(_SPLITS, _split)}


def _split(tensor: torch.Tensor, split_size: Any = None, dim: int = 0, *, split_size_or_sections: Any = None) -> Any:
    split_size = split_size_or_sections if split_size is None else split_size
    size: Any = tensor.shape[dim]
    if not (isinstance(size, torch.SymInt) and isinstance(split_size, torch.SymInt)):
        return NotImplemented
    count = size.node.hint // split_size.node.hint
    if not statically_known_true(size == split_size * count):
        return NotImplemented
    return _narrows(tensor, split_size, count, dim)


def _narrows(tensor: torch.Tensor, length: Any, count: int, dim: int) -> tuple[torch.Tensor, ...]:
    return tuple(tensor.narrow(dim, place * length, length) for place in range(count))
