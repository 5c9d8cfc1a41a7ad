"""Images as inputs of a model, resized and normalised as in training: one file, or a folder of samples.

    folder/*.png, *.jpg, *.jpeg           images in the order of their names, without labels
    folder/<class>/*.png, ...             the same, one class after the other; the label of a class is the index of its
                                          folder in the order of their names, as in torchvision's ImageFolder

Files and folders whose names start with a dot are ignored. Images are resized to the H x W of the
input's optimum without keeping their proportions: crop them first if the model was trained on
crops.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import InputError, MissingBackendError
from ..spec import TensorSpec


@dataclass(frozen=True)
class Scale:
    """Pixels in [0, 1] become ``(pixel - mean) / std``, one number or one per channel. ``option``: prefix of the options."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    option: str = "--"

    def check(self, channels: int) -> None:
        """Raise InputError, with the option, if the numbers do not fit the channels."""
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (1, channels):
                raise InputError(
                    f"{self.option}{name} has {len(numbers)} numbers for {channels} channels", "give one, or one each"
                )
        if not all(number > 0 for number in self.std):
            raise InputError(
                f"{self.option}std {', '.join(map(str, self.std))} is not above 0",
                "give the deviation of the training images",
            )

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, C) in [0, 1] to (C, H, W)."""
        return np.asarray(((pixels - np.array(self.mean)) / np.array(self.std)).transpose(2, 0, 1))


@dataclass(frozen=True)
class Picture:
    """``shown`` (H, W, 3) in [0, 1], as the model sees it; ``feed`` (N, C, H, W), the input."""

    shown: np.ndarray
    feed: np.ndarray


def read_picture(source: str | Path | BinaryIO, spec: TensorSpec, scale: Scale, *, most: int | None = None) -> Picture:
    """Read an image for the input ``spec`` (N, 1 or 3, H, W) of floats, resized to its optimum without keeping proportions.

    ``source`` is a file or an open stream. The image is repeated to the smallest batch. ``most``
    limits the pixels. Raise InputError if the input does not take images, ``scale`` does not fit it,
    or the file is not an image; MissingBackendError without Pillow.
    """
    channels, height, width = image_size(spec)
    scale.check(channels)
    values = read_pixels(source, channels, height, width, most=most)
    feed = np.repeat(scale.apply(values)[None], spec.axes[0].min, axis=0).astype(spec.numpy_dtype)
    return Picture(np.broadcast_to(values, (height, width, 3)), np.ascontiguousarray(feed))


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Parse ``0.4,0.5,0.6``. Raise InputError with the option."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{option} {text!r} is not a list of numbers", "write 0.5 or 0.485,0.456,0.406") from error


def image_size(spec: TensorSpec) -> tuple[int, int, int]:
    """(channels, height, width) of an image input, at its optimum. Raise InputError for another input."""
    channels = spec.axes[1].opt if len(spec.axes) == 4 else 0
    if channels not in (1, 3) or spec.numpy_dtype.kind != "f":
        raise InputError(f"the model takes {spec.describe()}, which is not an image", "give one of (N, 1 or 3, H, W)")
    return channels, spec.axes[2].opt, spec.axes[3].opt


def read_pixels(
    source: str | Path | BinaryIO, channels: int, height: int, width: int, *, most: int | None = None
) -> np.ndarray:
    """Read an image as (height, width, channels) in [0, 1], in colour or grey, resized bilinearly.

    Raise InputError if the file is missing, not an image, or larger than ``most`` pixels,
    MissingBackendError without Pillow.
    """
    image = pillow()
    if isinstance(source, str | Path):
        source = Path(source)
        if not source.is_file():
            raise InputError(f"image {source} does not exist", "give a .png or .jpg file")
    name = source if isinstance(source, Path) else "what was sent"
    try:
        with image.open(source) as opened:
            if most is not None and opened.width * opened.height > most:
                raise InputError(
                    f"{name} has {opened.width} x {opened.height} pixels, more than {most}", "give a smaller image"
                )
            pixels = opened.convert("RGB" if channels == 3 else "L").resize((width, height), image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as error:
        raise InputError(f"{name} cannot be read as an image ({error})", "give a .png or .jpg file") from error
    return np.asarray(pixels, dtype=np.float64).reshape(height, width, channels) / 255


def pillow() -> Any:
    """Return ``PIL.Image``. Raise MissingBackendError if it is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingBackendError(
            "Pillow is not installed", "install it with: pip install 'attnexport[draw]'"
        ) from error
    return Image


MOST_SIDE = 96
"""Most pixels of the longer side: a report has many pictures, and noise does not compress."""


def shrink(array: np.ndarray, most: int = MOST_SIDE) -> np.ndarray:
    """(H, W, ...) with neither side above ``most``: the mean of each block; for labels (integers) the block's corner."""
    step = -(-max(array.shape[:2]) // most)
    if step <= 1:
        return array
    if array.dtype.kind != "f":
        return array[::step, ::step]
    height, width = (max(1, size // step) for size in array.shape[:2])
    cut = array[: height * step, : width * step]
    if cut.shape[0] < height * step or cut.shape[1] < width * step:
        return array[::step, ::step]
    blocks = cut.reshape(height, step, width, step, *array.shape[2:])
    return np.asarray(blocks.mean(axis=(1, 3)))


ENDINGS = (".jpeg", ".jpg", ".png")
MOST_BYTES = 2 << 30
"""All samples are kept in memory: larger folders are refused."""


def holds_images(folder: Path) -> bool:
    """Whether a folder, or one of its sub-folders, has an image."""
    return bool(_images(folder)) or any(_images(child) for child in _folders(folder))


def read_images(folder: Path, spec: TensorSpec, scale: Scale) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Read all images of ``folder`` for the input ``spec``: (N, C, H, W), labels (N,) if there are classes, how they were made.

    Raise InputError if the input does not take images, ``scale`` does not fit it, there are images
    and sub-folders, a sub-folder has no image, a file is not an image, or there are too many;
    MissingBackendError without Pillow.
    """
    channels, height, width = image_size(spec)
    scale.check(channels)
    files, classes = _images(folder), _folders(folder)
    labels: np.ndarray | None = None
    if classes:
        if files:
            raise InputError(
                f"{folder} has images and the sub-folder {classes[0].name!r}", "give sub-folders as classes, or images"
            )
        by_class = [_images(child) for child in classes]
        if empty := [child for child, paths in zip(classes, by_class, strict=True) if not paths]:
            raise InputError(f"class folder {empty[0]} has no image", "give .png or .jpg files, or remove it")
        files = [file for paths in by_class for file in paths]
        labels = np.repeat(np.arange(len(classes)), [len(paths) for paths in by_class])
    _fits_memory(folder, files, math.prod((channels, height, width)) * spec.numpy_dtype.itemsize)
    array = np.empty((len(files), channels, height, width), spec.numpy_dtype)
    for i, file in enumerate(files):
        array[i] = scale.apply(read_pixels(file, channels, height, width))
    detail: dict[str, Any] = {"size": [height, width], "mean": list(scale.mean), "std": list(scale.std)}
    if classes:
        detail["classes"] = [child.name for child in classes]
    return array, labels, detail


def _fits_memory(folder: Path, files: Sequence[Path], each: int) -> None:
    if len(files) * each > MOST_BYTES:
        raise InputError(
            f"the {len(files)} images of {folder} take {len(files) * each / 2**30:.1f} GiB as inputs",
            f"give at most {MOST_BYTES // each} of them",
        )


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in ENDINGS and p.name[0] != ".")


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
