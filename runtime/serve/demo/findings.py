"""The outputs of a model as the page shows them: classes, masks, images, numbers, and attention maps."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...inputs.picture import Picture
from ...show.map_panels import Panel, panels
from .image_models import ImageModel

TOP = 5
_MOST_CLASSES = 256
"""Most classes of a mask: its pixels are sent as bytes."""


def findings(model: ImageModel, picture: Picture, outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return plain JSON: ``image`` as the model sees it, each output by its kind, and a panel for each attention map.

    Raise InputError for an attention map whose shape does not fit its kind.
    """
    maps = {record.output for record in model.attention}
    drawn = panels(picture.shown, model.attention, outputs)[1:] if maps else []
    return {
        "image": image(picture.shown),
        "outputs": [_output(model, picture, name, value) for name, value in outputs.items() if name not in maps],
        "attention": [_panel(panel) for panel in drawn],
    }


def image(pixels: np.ndarray) -> dict[str, Any]:
    """(H, W, 3) in [0, 1] as rows of RGB bytes."""
    height, width, _ = pixels.shape
    return {"width": width, "height": height, "rgb": _packed(np.rint(np.clip(pixels, 0, 1) * 255))}


def _output(model: ImageModel, picture: Picture, name: str, value: np.ndarray) -> dict[str, Any]:
    """Choose the kind of an output by its task and shape: class scores, a mask, an image, or numbers."""
    sample = value[0].astype(np.float64) if value.ndim else value.astype(np.float64)
    if not np.isfinite(sample).all() or value.dtype.kind not in "fiu":
        return _numbers(name, value)
    if sample.ndim == 1 and len(sample) > 1 and value.dtype.kind == "f":
        return _classes(name, sample, model.classes)
    if sample.ndim == 3 and min(sample.shape[1:]) > 1:
        channels = len(sample)
        if 1 < channels <= _MOST_CLASSES and (model.task == "segmentation" or channels != 3):
            return _mask(name, sample, model.classes)
        if channels in (1, 3):
            return _picture(name, sample)
    return _numbers(name, value)


def _classes(name: str, scores: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """The best classes with probabilities: the scores if they are probabilities already, else their softmax."""
    probabilities = bool((scores >= 0).all() and abs(scores.sum() - 1) < 1e-3)
    if not probabilities:
        raised = np.exp(scores - scores.max())
        scores = raised / raised.sum()
    best = np.argsort(-scores, kind="stable")[:TOP]
    labels = names if len(names) == len(scores) else ()
    top = [{"index": int(i), "label": labels[i] if labels else str(i), "score": float(scores[i])} for i in best]
    return {"name": name, "kind": "classes", "of": len(scores), "softmax": not probabilities, "top": top}


def _mask(name: str, scores: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """The best class of each pixel, and the share of each class, the largest first."""
    best = scores.argmax(0)
    counts = np.bincount(best.ravel(), minlength=len(scores))
    there = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    labels = names if len(names) == len(scores) else ()
    shares = [
        {"index": i, "label": labels[i] if labels else f"class {i}", "share": float(counts[i] / best.size)} for i in there
    ]  # fmt: skip
    height, width = best.shape
    return {
        "name": name, "kind": "mask", "of": len(scores), "width": width, "height": height, "pixels": _packed(best),
        "classes": shares,
    }  # fmt: skip


def _picture(name: str, values: np.ndarray) -> dict[str, Any]:
    """An image from its lowest value (black) to its highest (white)."""
    low, high = float(values.min()), float(values.max())
    even = (values - low) / ((high - low) or 1.0)
    shown = np.broadcast_to(even.transpose(1, 2, 0), (*values.shape[1:], 3))
    return {"name": name, "kind": "picture", "low": low, "high": high, "image": image(shown)}


def _numbers(name: str, value: np.ndarray) -> dict[str, Any]:
    """Shape and range of any other output."""
    plain: dict[str, Any] = {"name": name, "kind": "numbers", "shape": list(value.shape), "dtype": value.dtype.name}
    finite = value[np.isfinite(value)] if value.dtype.kind == "f" else value
    if value.dtype.kind in "fiu" and finite.size:
        plain |= {"low": float(finite.min()), "high": float(finite.max())}
    return plain | {"not_finite": int(value.size - finite.size)}


def _panel(panel: Panel) -> dict[str, Any]:
    """An attention panel as plain JSON: heat and matrix scaled to their own range, bars from 0."""
    bars = panel.bars
    return {
        "title": panel.title, "caption": panel.caption, "background": image(panel.background), "extent": list(panel.extent),
        "mark": None if panel.mark is None else list(panel.mark),
        "lines": [np.round(line, 4).tolist() for line in panel.lines],
        "bars": None if bars is None else _packed(_bytes(bars, min(0.0, bars.min()), bars.max())),
        "heat": _even(panel.heat), "matrix": _even(panel.matrix),
    }  # fmt: skip


def _even(values: np.ndarray | None) -> dict[str, Any] | None:
    """(rows, columns) as bytes, from the lowest value to the highest; nearly constant values stay even."""
    if values is None:
        return None
    middle, reach = (values.max() + values.min()) / 2, (values.max() - values.min()) / 2
    reach = max(float(reach), 0.025 * abs(float(middle)), 1e-12)
    rows, columns = values.shape
    return {"rows": rows, "columns": columns, "bytes": _packed(_bytes(values, middle - reach, middle + reach))}


def _bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip((values - low) / ((high - low) or 1.0), 0, 1) * 255)


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode("ascii")
