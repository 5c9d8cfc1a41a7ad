"""Channels of each module, sampled for the report."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...runtime.bundle.writer import BundleFolder
from ...runtime.inputs.picture import shrink
from .shown import MAX_SAMPLES

FILE = "report.npz"


INPUT = "input"


def keep_sampled(
    folder: BundleFolder, image: np.ndarray | None, sampled: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Write a few sampled images, small, into a bundle in the making; nothing where there are none. ``image``: the input, if it is one."""
    if not sampled:
        return
    arrays = {
        f"{variant}/{module}": _small(array)
        for module, variants in sampled.items()
        for variant, array in variants.items()
    }
    if image is not None:
        arrays[INPUT] = _small(image)
    with (folder.path / FILE).open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # the stub lets a name be allow_pickle
    folder.add(FILE, "report")


def _small(images: np.ndarray) -> np.ndarray:
    some = images[:MAX_SAMPLES].astype(np.float64).transpose(0, 2, 3, 1)
    return np.asarray(np.stack([shrink(image) for image in some]).transpose(0, 3, 1, 2), np.float32)


def image_input(feeds: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The first input, where it may be a batch of images."""
    first = next(iter(feeds.values()))
    return first if first.ndim == 4 and first.shape[1] in (1, 3) and first.dtype.kind == "f" else None
