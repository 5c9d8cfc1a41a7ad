"""What samples, folds and scatters: GridSample in every spelling, AffineGrid, Col2Im, Resize, DeformConv, adding scatters."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F

from ..targets.matrix import Fact
from .case import DTYPES, ProbeCase, normal, one_operator

_MODES = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}
PADDINGS = ("zeros", "border", "reflection")


def cases() -> Iterator[ProbeCase]:
    """All of them, FP32 first."""
    for dtype, mode, padding in product(DTYPES, _MODES, PADDINGS):
        yield _grid_sample(dtype, mode, padding, opset=16)
    for dtype, mode in product(("float32", "float16"), _MODES):
        yield _grid_sample(dtype, mode, "zeros", opset=20)
    for dtype, mode in product(("float32", "float16"), ("linear", "nearest")):
        yield _grid_sample(dtype, mode, "zeros", opset=20, rank=5)
    yield _grid_sample("float16", "linear", "zeros", opset=16, grid_dtype="float32")
    for dtype in ("float32", "float16"):
        yield _affine_grid(dtype)
        yield _col2im(dtype)
        yield _resize(dtype, antialias=0)
        yield _resize(dtype, antialias=1)
        yield _deform_conv(dtype)
        yield _scatter_nd(dtype)
        yield _scatter_elements(dtype)


def _grid_sample(
    dtype: str, mode: str, padding: str, *, opset: int, rank: int = 4, grid_dtype: str | None = None
) -> ProbeCase:
    space = (6, 7) if rank == 4 else (4, 5, 6)
    # Places between the half-pixel marks, where rounding to FP16 or BF16 does not choose another neighbour.
    rng = np.random.default_rng(5)
    grid = (rng.integers(-5, 5, (2, *space, rank - 2)) / 4 + 1 / 16).astype(np.float32)
    torch_mode = _MODES[mode]
    facts: dict[str, Fact] = {"rank": rank, "mode": mode, "padding": padding}
    if grid_dtype is not None:
        facts["grid_dtype"] = grid_dtype
    return one_operator(
        "GridSample",
        {"x": normal(2, 3, *space), "grid": grid},
        lambda x, places: F.grid_sample(x, places, mode=torch_mode, padding_mode=padding, align_corners=False),
        dtype=dtype, opset=opset, facts=facts, mode=mode if opset >= 20 else torch_mode, padding_mode=padding,
        align_corners=0,
    )  # fmt: skip


def _affine_grid(dtype: str) -> ProbeCase:
    size = [2, 3, 5, 6]
    return one_operator(
        "AffineGrid",
        {"theta": normal(2, 2, 3), "size": np.array(size)},
        lambda theta, _: F.affine_grid(theta, size, align_corners=False),
        dtype=dtype, opset=20, constants=["size"], facts={"rank": 4}, align_corners=0,
    )  # fmt: skip


def _col2im(dtype: str) -> ProbeCase:
    return one_operator(
        "Col2Im",
        {"x": normal(2, 27, 30), "image": np.array([5, 6]), "block": np.array([3, 3])},
        lambda x, *_: F.fold(x, (5, 6), 3, padding=1),
        dtype=dtype, constants=["image", "block"], pads=[1, 1, 1, 1],
    )  # fmt: skip


def _resize(dtype: str, antialias: int) -> ProbeCase:
    """To half the size; PyTorch's antialiasing leaves out what lies outside the image."""
    none = np.array([], np.int64)
    case = one_operator(
        "Resize",
        {"x": normal(2, 3, 10, 8), "none": none, "sizes": np.array([2, 3, 5, 4])},
        lambda x, *_: F.interpolate(x, (5, 4), mode="bilinear", antialias=bool(antialias)),
        dtype=dtype, constants=["none", "sizes"], facts={"antialias": antialias, "mode": "linear"},
        mode="linear", coordinate_transformation_mode="half_pixel", antialias=antialias, exclude_outside=antialias,
    )  # fmt: skip
    node = case.model.graph.node[0]
    node.input[:] = ["x", "", "", "sizes"]  # roi and scales are left out
    del case.model.graph.initializer[0]
    return case


def _deform_conv(dtype: str) -> ProbeCase:
    """3x3, padding 1, two channels an offset group."""

    def expect(x: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = x.shape
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        columns_of_x = []
        for tap, (i, j) in enumerate(product(range(3), range(3))):
            high = rows + i - 1 + offset[:, 2 * tap]
            wide = columns + j - 1 + offset[:, 2 * tap + 1]
            places = torch.stack([2 * wide / (width - 1) - 1, 2 * high / (height - 1) - 1], -1)
            columns_of_x.append(F.grid_sample(x, places, align_corners=True))
        taps = torch.stack(columns_of_x, 2)
        return torch.einsum("nckhw,ock->nohw", taps, weight.flatten(2)).reshape(batch, -1, height, width)

    inputs = {"x": normal(2, 4, 6, 5), "weight": normal(3, 4, 3, 3), "offset": normal(2, 18, 6, 5) / 2}
    return one_operator(
        "DeformConv", inputs, expect, dtype=dtype, opset=19, kernel_shape=[3, 3], pads=[1, 1, 1, 1], offset_group=1
    )


def _scatter_nd(dtype: str) -> ProbeCase:
    index = np.array([[1], [0], [1]])
    return one_operator(
        "ScatterND", {"x": normal(4, 5), "where": index, "update": normal(3, 5)},
        lambda x, where, update: x.index_add(0, where[:, 0], update),
        dtype=dtype, constants=["where"], facts={"reduction": "add"}, reduction="add",
    )  # fmt: skip


def _scatter_elements(dtype: str) -> ProbeCase:
    index = np.array([[1, 0, 1, 3, 3]])
    return one_operator(
        "ScatterElements", {"x": normal(4, 5), "where": index, "update": normal(1, 5)},
        lambda x, where, update: x.scatter_add(0, where, update),
        dtype=dtype, constants=["where"], facts={"reduction": "add"}, reduction="add", axis=0,
    )  # fmt: skip
