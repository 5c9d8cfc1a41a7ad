"""Overlapping blocks: the keys that a block of neighbouring queries can see, side by side, by Slice and Concat.

b positions in a row with stride s, reach r = d*(k - 1), see kk = (b - 1)*s + r + 1 places; the next block's places
start b*s further on. Along the last axis the places are pieces of rows, each b*s long, reshaped; along the axis
before it each of the kk rows is a strided Slice. No Gather and no index tensor, so sizes may be dynamic.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ..graph.builder import Dim, GraphBuilder, Value
from .local_window import LEADING, LocalWindow

Array = npt.NDArray[Any]
MASKED = -1e9
"""Added to the score of a place outside a position's own window: its share of any softmax is then 0."""


def masked(dtype: Any) -> float:
    """``MASKED`` in a type that may be too narrow for it: a mask is multiplied by zeros too, so it must be finite."""
    return float(np.finfo(np.float16).min) / 2 if dtype == np.float16 else MASKED


@dataclass(frozen=True)
class Block:
    """A block of ``shape`` positions of one window, of one or two space axes."""

    window: LocalWindow
    shape: tuple[int, ...]

    @property
    def keys(self) -> tuple[int, ...]:
        """kk of each axis."""
        return tuple(
            (size - 1) * step + reach + 1
            for size, step, reach in zip(self.shape, self.window.stride, self.window.reach, strict=True)
        )

    def placed(self, axis: int, values: Array, fill: float) -> Array:
        """values (..., k) by tap of an axis -> (..., b, kk) by position and place, ``fill`` outside the window."""
        size, stride, dilation = self.shape[axis], self.window.stride[axis], self.window.dilation[axis]
        result = np.full((*values.shape[:-1], size, self.keys[axis]), fill, values.dtype)
        for position in range(size):
            for tap in range(self.window.kernel[axis]):
                result[..., position, position * stride + tap * dilation] = values[..., tap]
        return result

    def spread(self, values: Array, fill: float) -> Array:
        """values (..., K) by tap -> (..., positions of a block, places of a block), ``fill`` outside the window."""
        window = self.window
        result = np.full((*values.shape[:-1], *self.shape, *self.keys), fill, values.dtype)
        for position in np.ndindex(*self.shape):
            for tap, offset in enumerate(window.offsets()):
                place = tuple(
                    index * step + shift for index, step, shift in zip(position, window.stride, offset, strict=True)
                )
                index_of = (Ellipsis, *position, *place)
                result[index_of] = values[..., tap]
        return result.reshape(*values.shape[:-1], prod(self.shape), prod(self.keys))


class Blocks:
    """The blocks of one node. ``positions`` is a value (N, H, any, *Q) that has the positions' lengths."""

    def __init__(self, emit: GraphBuilder, block: Block, positions: Value) -> None:
        self.emit = emit
        self.block = block
        rank = block.window.rank
        self.counts = [emit.dim(positions, LEADING + axis) for axis in range(rank)]
        self.grid = [
            emit.floordiv(emit.add(count, size - 1), size) for count, size in zip(self.counts, block.shape, strict=True)
        ]

    def queries(self, x: Value, channels: Dim) -> Value:
        """(N, H, D, *Q) -> (N, H, *grid, *block, D), zeros where the last block leaves the map."""
        last = self._channels_last(self._covered(x))
        return self.emit.reshape(self._swapped(last, channels, False), [0, 0, *self.grid, *self.block.shape, channels])

    def keys(self, x: Value, channels: Dim) -> Value:
        """(N, H, D, *S) -> (N, H, blocks, places, D)."""
        rank = self.block.window.rank
        amounts = {LEADING + axis: (self.block.window.before[axis], self._slack(axis, x)) for axis in range(rank)}
        padded = self.emit.pad(x, LEADING + rank, amounts)
        rows = self._pieces(self._channels_last(padded), 1 + rank, channels)
        places = prod(self.block.keys)
        if rank == 1:
            return rows
        kk, step = self.block.keys[0], self.block.shape[0] * self.block.window.stride[0]
        flat = self.emit.mul(channels, self.block.keys[1])
        rows = self.emit.reshape(rows, [0, 0, -1, self.grid[1], 1, flat])
        reached = self.emit.mul(self.emit.sub(self.grid[0], 1), step)
        steps = [self.emit.slice(rows, [j], [self.emit.add(reached, j + 1)], [2], [step]) for j in range(kk)]
        return self.emit.reshape(self.emit.concat(steps, axis=4), [0, 0, -1, places, channels])

    def restore(self, blocks: Value, channels: Dim) -> Value:
        """(N, H, blocks, positions, D) -> (N, H, D, *Q)."""
        rank, emit = self.block.window.rank, self.emit
        rows = emit.reshape(self._swapped(blocks, channels, True), [0, 0, -1, channels])
        first = emit.transpose(rows, [0, 1, 3, 2])
        sizes = [emit.mul(count, size) for count, size in zip(self.grid, self.block.shape, strict=True)]
        whole = emit.reshape(first, [0, 0, 0, *sizes])
        if sizes == self.counts:
            return whole
        return emit.slice(whole, [0] * rank, self.counts, [LEADING + axis for axis in range(rank)])

    def _channels_last(self, x: Value) -> Value:
        """(N, H, D, *S) -> (N, H, *S, D). One axis moved at a time is ten times quicker on ONNX Runtime than several."""
        rank = self.block.window.rank
        return self.emit.transpose(x, [0, 1, *range(LEADING, LEADING + rank), 2])

    def _swapped(self, x: Value, channels: Dim, blocked: bool) -> Value:
        """Channel-last x with its rows of blocks in the order of the map or, if ``blocked``, the other way round."""
        if self.block.window.rank == 1:
            return x
        emit, (high, wide) = self.emit, self.block.shape
        middle = [self.grid[1], high] if blocked else [high, self.grid[1]]
        pieces = emit.reshape(x, [0, 0, self.grid[0], *middle, emit.mul(channels, wide)])
        return emit.transpose(pieces, [0, 1, 2, 4, 3, 5])

    def _covered(self, x: Value) -> Value:
        """x over whole blocks: padded by what is known to be missing, or by the most that can be and then cut."""
        emit, rank = self.emit, self.block.window.rank
        amounts, cut = {}, []
        for axis, (count, size) in enumerate(zip(self.counts, self.block.shape, strict=True)):
            if isinstance(count, int):
                amounts[LEADING + axis] = (0, -count % size)
            elif size > 1:
                amounts[LEADING + axis] = (0, size - 1)
                cut.append(axis)
        padded = emit.pad(x, LEADING + rank, amounts)
        if not cut:
            return padded
        ends = [emit.mul(self.grid[axis], self.block.shape[axis]) for axis in cut]
        return emit.slice(padded, [0] * len(cut), ends, [LEADING + axis for axis in cut])

    def _slack(self, axis: int, x: Value) -> int:
        """Zeros behind an axis, so that every Slice of it finds its places."""
        window, size, kk = self.block.window, self.block.shape[axis], self.block.keys[axis]
        step = size * window.stride[axis]
        last = (kk - 1) // step * step + step if axis == window.rank - 1 else kk
        grid, length = self.grid[axis], x.shape[LEADING + axis]
        if isinstance(grid, int) and isinstance(length, int):
            need = (grid - 1) * step + last
            return max(need - length - window.before[axis], 0)
        # (grid - 1)*size < Q, and (Q - 1)*stride + reach + 1 places are there.
        return window.after[axis] + max(last - window.reach[axis] - 1, 0)

    def _pieces(self, x: Value, axis: int, channels: Dim) -> Value:
        """The last space axis of x (N, H, ..., S, D) as blocks: (N, H, ..., grid, kk, D)."""
        emit, window = self.emit, self.block.window
        kk, step = self.block.keys[-1], self.block.shape[-1] * window.stride[-1]
        grid = self.grid[-1]
        covered = emit.mul(grid, step)
        pieces = []
        for start in range(0, kk, step):
            piece = emit.slice(x, [start], [emit.add(covered, start)], [axis])
            piece = emit.reshape(piece, [*[0] * axis, grid, step, channels])
            width = min(step, kk - start)
            pieces.append(piece if width == step else emit.slice(piece, [0], [width], [axis + 1]))
        return emit.concat(pieces, axis=axis + 1)
