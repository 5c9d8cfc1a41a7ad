"""An image file as the input of a model: resized to its size, scaled as the model was trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MissingBackendError
from .spec import TensorSpec


@dataclass(frozen=True)
class Picture:
    """``shown`` (H, W, 3) in [0, 1], as the model gets to see it; ``feed`` (N, C, H, W), the same as the model takes it."""

    shown: np.ndarray
    feed: np.ndarray


def read_picture(path: str | Path, spec: TensorSpec, mean: tuple[float, ...], std: tuple[float, ...]) -> Picture:
    """Read an image for the input ``spec`` (N, 1 or 3, H, W) of floats, resized to its optimum, whatever its proportions.

    Values in [0, 1] are scaled to ``(value - mean) / std``, one number or one per channel. The batch is the smallest
    that the model takes, of the one image. Raises InputError where the input holds no image or the file is none,
    MissingBackendError without Pillow.
    """
    image = _pillow()
    path = Path(path)
    channels = spec.axes[1].opt if len(spec.axes) == 4 else 0
    if channels not in (1, 3) or spec.numpy_dtype.kind != "f":
        raise InputError(f"the model takes {spec.describe()}, which is no image", "give a model of (N, 1 or 3, H, W)")
    for name, numbers in (("mean", mean), ("std", std)):
        if len(numbers) not in (1, channels):
            raise InputError(f"--{name} has {len(numbers)} numbers for {channels} channels", "give one, or one each")
    if not all(number > 0 for number in std):
        raise InputError(
            f"--std {', '.join(map(str, std))} is not above 0", "give the deviation of the training images"
        )
    if not path.is_file():
        raise InputError(f"image {path} does not exist", "give a .png or .jpg file")
    height, width = spec.axes[2].opt, spec.axes[3].opt
    try:
        with image.open(path) as opened:
            pixels = opened.convert("RGB" if channels == 3 else "L").resize((width, height), image.Resampling.BILINEAR)
    except (OSError, ValueError, image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as an image ({error})", "give a .png or .jpg file") from error
    values = np.asarray(pixels, dtype=np.float64).reshape(height, width, channels) / 255
    scaled = ((values - np.array(mean)) / np.array(std)).transpose(2, 0, 1)
    feed = np.repeat(scaled[None], spec.axes[0].min, axis=0).astype(spec.numpy_dtype)
    return Picture(np.broadcast_to(values, (height, width, 3)), np.ascontiguousarray(feed))


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingBackendError(
            "Pillow is not installed", "install it with: pip install 'attnexport[draw]'"
        ) from error
    return Image
