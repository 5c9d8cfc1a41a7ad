"""A folder of images as samples: resized to the model's input, scaled to [0, 1], normalised; sub-folders are classes.

    folder/*.png, *.jpg, *.jpeg           images in the order of their names, without labels
    folder/<class>/*.png, ...             the same, one class after the other; the label of a class is the index of its
                                          folder in the order of their names, as in torchvision's ImageFolder

Files and folders whose names start with a dot are ignored. Images are resized to the H x W of the
input's optimum without keeping their proportions: crop them first if the model was trained on
crops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..spec import TensorSpec
from .picture import Scale, image_size, read_pixels

ENDINGS = (".jpeg", ".jpg", ".png")
MOST_BYTES = 2 << 30
"""All samples are kept in memory: larger folders are refused."""


@dataclass(frozen=True)
class Images:
    """``array`` (N, C, H, W) for the model, ``labels`` (N,) if there are classes, and ``detail``: how they were made."""

    array: np.ndarray
    labels: np.ndarray | None
    detail: dict[str, Any]


def holds_images(folder: Path) -> bool:
    """Whether a folder, or one of its sub-folders, has an image."""
    return bool(_images(folder)) or any(_images(child) for child in _folders(folder))


def read_images(folder: Path, spec: TensorSpec, scale: Scale) -> Images:
    """Read all images of ``folder`` for the input ``spec``.

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
    return Images(array, labels, detail)


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
