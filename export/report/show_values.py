"""Show a value of one sample as classes, a mask, a picture, tokens or numbers, with its difference to the reference."""

from collections.abc import Sequence

import numpy as np

from ...runtime.inputs.picture import shrink
from . import words
from .markup import Html, Markup, bar, join, tag
from .png import grey, heat, labels, png

_TOP = 3
_MOST_TOKENS = 24
_MOST_NUMBERS = 5


def image(pixels: np.ndarray, title: str = "") -> Markup:
    """Show an image (H, W, 3) in [0, 1]."""
    return tag("img", src=png(grey(shrink(pixels), 0.0, 1.0)), class_="picture", alt=title)


def classes(logits: np.ndarray, reference: np.ndarray | None, names: Sequence[str] = ()) -> Markup:
    """Show the most probable classes of (C,) logits; with a reference, whether the first is the same."""
    scores = np.exp(logits.astype(np.float64) - np.max(logits))
    scores /= scores.sum()
    order = np.argsort(-scores, kind="stable")[:_TOP]
    rows: list[Html] = []
    for place, i in enumerate(order):
        name = names[i] if i < len(names) else str(i)
        rows += [
            tag("b" if place == 0 else "span", name), bar(float(scores[i])), tag("span", f"{scores[i]:.1%}".replace("%", "\u202f%"))
        ]  # fmt: skip
    said = None
    if reference is not None:
        best, true = int(order[0]), int(np.argmax(reference))
        name = names[true] if true < len(names) else str(true)
        said = _note("same class" if best == true else f"PyTorch: {name}", best == true)
    return join(tag("div", rows, class_="classes"), said)


def mask(logits: np.ndarray, reference: np.ndarray | None) -> Markup:
    """Show the class of each pixel of (C, H, W) logits in colours; a single channel is a mask with threshold 0."""
    own = _classes(logits)
    shown = tag("img", src=png(labels(shrink(own))), class_="picture", alt="mask")
    if reference is None:
        return shown
    alike = float(np.mean(own == _classes(reference)))
    return join(shown, _note(f"{alike:.2%} alike", alike > 0.99))


def _classes(logits: np.ndarray) -> np.ndarray:
    return np.asarray((logits[0] > 0).astype(np.int64) if len(logits) == 1 else logits.argmax(0))


def image_output(value: np.ndarray, low: float, high: float, reference: np.ndarray | None) -> Markup:
    """Show (C, H, W) with one or three channels between ``low`` and ``high``."""
    picture = grey(shrink(value.astype(np.float64).transpose(1, 2, 0)), low, high)
    shown = tag("img", src=png(picture[..., 0] if picture.shape[2] == 1 else picture), class_="picture", alt="image")
    return join(shown, _difference(value, reference))


def field(value: np.ndarray, reference: np.ndarray | None) -> Markup:
    """Show an array of two or more axes: the last two as a picture, averaged over the others."""
    flat = value.astype(np.float64).reshape(-1, *value.shape[-2:]).mean(0)
    held = flat if reference is None else reference.astype(np.float64).reshape(-1, *value.shape[-2:]).mean(0)
    sizes = "×".join(map(str, value.shape))
    shown = tag("img", src=png(heat(shrink(flat), float(held.min()), float(held.max()))), class_="picture", alt=sizes)
    return join(shown, tag("span", sizes, class_="note") if reference is None else None, _difference(value, reference))


def tokens(value: np.ndarray, reference: np.ndarray | None = None) -> Markup:
    """Show integers and booleans; those that differ from the reference are marked."""
    flat = value.reshape(-1)
    held = flat if reference is None else reference.reshape(-1)
    chips = [
        tag("span", str(int(v)), class_="off" if v != t else None)
        for v, t in zip(flat[:_MOST_TOKENS], held, strict=False)
    ]
    more = tag("span", f"and {flat.size - _MOST_TOKENS} more") if flat.size > _MOST_TOKENS else None
    if reference is None:
        return tag("div", chips, more, class_="chips")
    equal = int((flat == held).sum())
    return join(tag("div", chips, more, class_="chips"), _note(f"{equal} of {flat.size} alike", equal == flat.size))


def numbers(value: np.ndarray, reference: np.ndarray | None = None) -> Markup:
    """Show the first numbers of an array, and how many there are."""
    flat = value.reshape(-1).astype(np.float64)
    chips = [tag("span", f"{v:.4g}") for v in flat[:_MOST_NUMBERS]]
    more = tag("span", f"and {flat.size - _MOST_NUMBERS} more") if flat.size > _MOST_NUMBERS else None
    return join(tag("div", chips, more, class_="chips"), _difference(value, reference))


def _difference(value: np.ndarray, reference: np.ndarray | None) -> Markup | None:
    """The rms error relative to the reference's rms."""
    if reference is None:
        return None
    own = reference.astype(np.float64)
    scale = float(np.sqrt(np.mean(own**2)))
    error = float(np.sqrt(np.mean((value.astype(np.float64) - own) ** 2)))
    return _note(f"error {words.power(error / scale if scale else error)}", bool(np.isfinite(error)))


def _note(message: str, good: bool) -> Markup:
    return tag("div", message, class_="note" if good else "note off")
