"""Attention maps as panels to draw: the numbers and their place on the image, for each kind of map.

Places on the image are (x, y) in [0, 1], from its top left corner. After a spatial transformer that
reads the image, maps are drawn over what it has read, since their modules see that.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..bundle.sections import AttentionRecord

WHOLE = (0.0, 1.0, 1.0, 0.0)


@dataclass(frozen=True)
class Panel:
    """One picture: ``heat`` over ``background`` (H, W, 3), or ``bars``, or a ``matrix``.

    ``extent`` is the place of the heat: left, right, bottom, top. ``mark`` is the query's place,
    ``lines`` are drawn on the image, each (points, 2).
    """

    title: str
    caption: str
    background: np.ndarray
    heat: np.ndarray | None = None
    extent: tuple[float, float, float, float] = WHOLE
    mark: tuple[float, float] | None = None
    lines: tuple[np.ndarray, ...] = ()
    bars: np.ndarray | None = None
    matrix: np.ndarray | None = None


def panels(shown: np.ndarray, records: Sequence[AttentionRecord], outputs: Mapping[str, np.ndarray]) -> list[Panel]:
    """The image, then a panel for each map of its first sample. Raise InputError for a map that does not fit its kind."""
    panels = [Panel("image", "as the model sees it", shown)]
    for record in records:
        map_ = outputs[record.output].astype(np.float64)[0]
        rank = {"gate": (3,), "tokens": (2, 3), "channels": (2,), "window": (4,), "grid": (3,)}.get(record.kind, ())
        if map_.ndim not in rank:
            raise InputError(
                f"output {record.output!r} of shape {outputs[record.output].shape} is not a map of kind {record.kind!r}",
                "export the bundle again",
            )
        if record.kind == "grid":
            panels += _grid(record, map_, shown)
            shown = panels[-1].background
        else:
            panels.append(_DRAWN[record.kind](record, map_, shown))
    return panels


def _title(record: AttentionRecord) -> str:
    return f"{record.output.partition('.')[2] or record.output} · {record.type}"


def _range(values: np.ndarray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"


def _gate(record: AttentionRecord, weights: np.ndarray, shown: np.ndarray) -> Panel:
    channels, height, width = weights.shape
    if height == width == 1:
        return Panel(_title(record), f"{channels} channels: {_range(weights)}", shown, bars=weights[:, 0, 0])
    heat = weights.mean(0)
    over = f"mean of {channels} channels" if channels > 1 else "weight of each place"
    return Panel(_title(record), f"{over}: {_range(heat)}", shown, heat)


def _channels(record: AttentionRecord, weights: np.ndarray, shown: np.ndarray) -> Panel:
    return Panel(_title(record), f"channel from channel: {_range(weights)}", shown, matrix=weights)


def _tokens(record: AttentionRecord, weights: np.ndarray, shown: np.ndarray) -> Panel:
    """The row of the class token, else of the query in the middle of the image; the whole matrix if tokens are not places."""
    heads = f", mean of {len(weights)} heads" if weights.ndim == 3 else ""
    if weights.ndim == 3:
        weights = weights.mean(0)
    queries, keys = (token_grid(count, shown.shape[:2]) for count in weights.shape)
    if queries is None or keys is None or queries[2] != keys[2]:
        return Panel(_title(record), f"query from key{heads}: {_range(weights)}", shown, matrix=weights)
    rows, columns, token = queries
    place = 0 if token else rows // 2 * columns + columns // 2
    row = weights[place]
    heat = row[keys[2] :].reshape(keys[:2])
    query = f"class token ({row[0]:.0%} to itself)" if token else "query at the dot"
    mark = None if token else ((columns // 2 + 0.5) / columns, (rows // 2 + 0.5) / rows)
    return Panel(_title(record), f"{query}{heads}: {_range(heat)}", shown, heat, mark=mark)


def token_grid(count: int, image: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Rows and columns of ``count`` tokens in the image's proportions, and 1 if the first is a class token, else 0."""
    for extra in (0, 1):
        best, off = None, 0.1
        for rows in range(1, count - extra + 1):
            columns, rest = divmod(count - extra, rows)
            away = math.inf if rest else abs(math.log(rows * image[1] / (columns * image[0])))
            if away < off:
                best, off = (rows, columns, extra), away
        if best is not None:
            return best
    return None


def _window(record: AttentionRecord, weights: np.ndarray, shown: np.ndarray) -> Panel:
    """The window of the place in the middle, drawn at its position."""
    heads, taps, rows, columns = weights.shape
    size, stride = math.isqrt(taps), int(record.detail.get("stride", 1))
    if size * size != taps:
        raise InputError(f"output {record.output!r} has windows of {taps} places, no square", "export the bundle again")
    row, column, reach = rows // 2, columns // 2, size // 2
    heat = weights[:, :, row, column].mean(0).reshape(size, size)
    height, width = rows * stride, columns * stride
    left, top = column * stride - reach, row * stride - reach
    extent = (left / width, (left + size) / width, (top + size) / height, top / height)
    inside = heat[max(-top, 0) : height - top, max(-left, 0) : width - left]
    mean = f", mean of {heads} heads" if heads > 1 else ""
    total = heat.sum()
    outside = 1 - inside.sum() / total if np.isclose(total, 1, atol=1e-2) else 0.0
    beyond = f", {outside:.0%} outside" if outside >= 0.005 else ""
    mark = ((column * stride + 0.5) / width, (row * stride + 0.5) / height)
    caption = f"{size}x{size} around the dot{mean}: {_range(heat)}{beyond}"
    return Panel(_title(record), caption, shown, heat, extent, mark)


def _grid(record: AttentionRecord, grid: np.ndarray, shown: np.ndarray) -> list[Panel]:
    """The outline of the region that is read, with the target's top left corner marked, and the region itself."""
    rows, columns, aligned = *grid.shape[:2], bool(record.detail.get("align_corners", False))
    size = np.array([shown.shape[1], shown.shape[0]])
    places = (grid + 1) / 2
    if aligned:
        places = (places * (size - 1) + 0.5) / size
    places = np.clip(np.nan_to_num(places), -10, 10)
    across, down = (np.linspace(0, count - 1, 5).round().astype(int) for count in (columns, rows))
    lines = (*(places[i] for i in down), *(places[:, j] for j in across))
    corner = (float(places[0, 0, 0]), float(places[0, 0, 1]))
    outline = Panel(_title(record), "where it reads; dot: its top left", shown, mark=corner, lines=lines)
    read = Panel(_title(record), "what it reads: the next maps lie over this", _sampled(shown, places))
    return [outline, read]


def _sampled(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bilinear samples of an image (H, W, 3) at ``places`` (h, w, 2) in [0, 1]; beyond its edges the nearest pixel."""
    height, width = image.shape[:2]
    x = np.clip(places[..., 0] * width - 0.5, 0, width - 1)
    y = np.clip(places[..., 1] * height - 0.5, 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = image[top, left] * (1 - fx) + image[top, right] * fx
    lower = image[bottom, left] * (1 - fx) + image[bottom, right] * fx
    return np.asarray(upper * (1 - fy) + lower * fy)


_DRAWN = {"gate": _gate, "channels": _channels, "tokens": _tokens, "window": _window}
