"""Regions of interest, grids of samples, and the choice among boxes."""

import numpy as np

from ...domain.sampling import sample
from .call import Array, Call, Kernel, NotCovered

_GRID_MODES = {"linear": "bilinear", "cubic": "bicubic"}
"""Opset 20 spells GridSample's modes anew."""


def _grid_sample(call: Call) -> list[Array]:
    """Nearest rounds coordinates in FP32, as the file computes them; a volume has no cubic mode."""
    x, grid = call.real(0), call.real(1)
    mode = call.text("mode", "bilinear")
    mode = _GRID_MODES.get(mode, mode)
    if x.ndim > 5 or (x.ndim != 4 and mode == "bicubic"):
        raise NotCovered
    places = grid.astype(np.float32) if mode == "nearest" else grid
    padding = call.text("padding_mode", "zeros")
    return [sample(x, places, mode=mode, padding_mode=padding, align_corners=call.integer("align_corners", 0))]


def _affine_grid(call: Call) -> list[Array]:
    """theta (N, r, r + 1), size (N, C, *space) -> (N, *space, r), the x-coordinate first."""
    theta, size = call.real(0), call.ints(1) or []
    space = size[2:]
    lines = []
    for count in space:
        line = np.linspace(-1, 1, count) if call.flag("align_corners") else (2 * np.arange(count) + 1) / count - 1
        lines.append(line)
    planes = np.meshgrid(*lines, indexing="ij")
    points = np.stack([*reversed(planes), np.ones(space)], -1)
    return [np.einsum("...k,nrk->n...r", points, theta)]


def _bin_samples(start: float, step: float, count: int, bins: int) -> Array:
    """(bins, count): the sample coordinates inside each bin of a region."""
    inside = (np.arange(count) + 0.5) * step / count
    return start + np.arange(bins)[:, None] * step + inside


def _corners(place: Array, size: int) -> tuple[Array, Array, Array, Array, Array]:
    """Lower and upper pixel of each coordinate, their weights, and whether the coordinate is within reach."""
    valid = (place >= -1) & (place <= size)
    place = np.maximum(place, 0)
    low = np.minimum(place.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    part = np.where(low >= size - 1, 0.0, place - low)
    return low, high, 1 - part, part, valid


def _roi_align(call: Call) -> list[Array]:
    """Mean or largest of the bilinear samples in each bin. The number of samples follows from the FP32 size of a bin."""
    x, rois, batch = call.real(0), call.real(1), call.array(2).astype(np.int64)
    height, width = call.integer("output_height", 1), call.integer("output_width", 1)
    scale, ratio = call.number("spatial_scale", 1.0), call.integer("sampling_ratio", 0)
    default = "half_pixel" if call.opset >= 16 else "output_half_pixel"
    half = call.text("coordinate_transformation_mode", default) == "half_pixel"
    result = np.zeros((len(rois), x.shape[1], height, width))
    for n, roi in enumerate(rois):
        left, top, right, bottom = roi * scale - (0.5 if half else 0.0)
        w, h = right - left, bottom - top
        edges = roi.astype(np.float32) * np.float32(scale) - np.float32(0.5 if half else 0)
        sides = edges[2:] - edges[:2]
        if not half:
            w, h, sides = max(w, 1.0), max(h, 1.0), np.maximum(sides, np.float32(1))
        rows = ratio if ratio > 0 else int(np.ceil(sides[1] / np.float32(height)))
        cols = ratio if ratio > 0 else int(np.ceil(sides[0] / np.float32(width)))
        if rows <= 0 or cols <= 0:
            continue
        result[n] = _aligned(
            x[batch[n]], _bin_samples(top, h / height, rows, height), _bin_samples(left, w / width, cols, width),
            call.text("mode", "avg"),
        )  # fmt: skip
    return [result]


def _aligned(x: Array, ys: Array, xs: Array, mode: str) -> Array:
    """x (C, H, W), ys (bins, samples), xs (bins, samples) -> (C, bins, bins). The largest is over weighted corners."""
    low_y, high_y, one_y, part_y, valid_y = _corners(ys, x.shape[1])
    low_x, high_x, one_x, part_x, valid_x = _corners(xs, x.shape[2])
    terms = []
    for row, row_weight in ((low_y, one_y), (high_y, part_y)):
        for col, col_weight in ((low_x, one_x), (high_x, part_x)):
            weight = (row_weight * valid_y)[:, None, :, None] * (col_weight * valid_x)[None, :, None, :]
            terms.append(x[:, row[:, None, :, None], col[None, :, None, :]] * weight)
    if mode == "max":
        return np.asarray(np.max(terms, 0).max((3, 4)))
    return np.asarray(sum(terms).mean((3, 4)))


def _round_away(value: float) -> int:
    return int(np.sign(value) * np.floor(abs(value) + 0.5))


def _max_roi_pool(call: Call) -> list[Array]:
    """Bins with integer borders, from corners that are rounded in FP32; an empty bin is zero."""
    x, rois = call.real(0), call.real(1)
    height, width = call.integers("pooled_shape") or [1, 1]
    scale = np.float32(call.number("spatial_scale", 1.0))
    result = np.zeros((len(rois), x.shape[1], height, width))
    for n, roi in enumerate(rois):
        corners = [_round_away(float(np.float32(v) * scale)) for v in roi[1:]]
        rows = _bins(corners[1], corners[3], height, x.shape[2])
        cols = _bins(corners[0], corners[2], width, x.shape[3])
        for i, (top, bottom) in enumerate(rows):
            for j, (left, right) in enumerate(cols):
                if bottom > top and right > left:
                    result[n, :, i, j] = x[int(roi[0]), :, top:bottom, left:right].max((1, 2))
    return [result]


def _bins(first: int, last: int, count: int, size: int) -> list[tuple[int, int]]:
    step = np.float32(max(last - first + 1, 1)) / np.float32(count)
    starts = [int(np.floor(np.float32(i) * step)) + first for i in range(count)]
    ends = [int(np.ceil(np.float32(i + 1) * step)) + first for i in range(count)]
    return [(min(max(s, 0), size), min(max(e, 0), size)) for s, e in zip(starts, ends, strict=True)]


def _sides(boxes: Array, centred: bool) -> Array:
    """(boxes, 4): first y and x, last y and x. Corners come in any order, a centred box as (x, y, width, height)."""
    a, b, c, d = boxes.astype(np.float32).T
    if centred:
        half = np.float32(2)
        return np.stack([b - d / half, a - c / half, b + d / half, a + c / half], -1)
    return np.stack([np.minimum(a, c), np.minimum(b, d), np.maximum(a, c), np.maximum(b, d)], -1)


def _overlaps(box: Array, others: Array) -> Array:
    """Intersection over union of one box with others, in the FP32 arithmetic that decides in the file."""
    inside = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = inside[:, 0] * inside[:, 1]
    area, areas = ((s[..., 2] - s[..., 0]) * (s[..., 3] - s[..., 1]) for s in (box, others))
    none = (inside <= 0).any(-1) | (areas <= 0) | (area <= 0)
    return np.asarray(np.where(none, 0, shared / (area + areas - shared)))


def _non_max_suppression(call: Call) -> list[Array]:
    """(batch, class, box) of the boxes that stay, best first; equal scores keep the order of the boxes."""
    boxes, scores = call.real(0), call.real(1)
    most = (call.ints(2) or [0])[0] if call.present(2) else 0
    threshold = np.float32(call.real(3).item()) if call.present(3) else np.float32(0)
    least = call.real(4).item() if call.present(4) else -np.inf
    centred = call.flag("center_point_box")
    picked = []
    for n in range(boxes.shape[0]):
        sides = _sides(boxes[n], centred)
        for c in range(scores.shape[1]):
            kept: list[int] = []
            for index in np.argsort(-scores[n, c], kind="stable"):
                if len(kept) >= most:
                    break
                if scores[n, c, index] > least and not (_overlaps(sides[index], sides[kept]) > threshold).any():
                    kept.append(int(index))
            picked += [(n, c, index) for index in kept]
    return [np.array(picked, np.int64).reshape(-1, 3)]


KERNELS: dict[str, Kernel] = {
    "AffineGrid": _affine_grid,
    "GridSample": _grid_sample,
    "MaxRoiPool": _max_roi_pool,
    "NonMaxSuppression": _non_max_suppression,
    "RoiAlign": _roi_align,
}
"""By operator of the standard domain."""
