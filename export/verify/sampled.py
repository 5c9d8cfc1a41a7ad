"""Store the images that spatial transformers sample, for the report."""

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
    """Write a few sampled images, reduced, into the bundle. ``image``: the input, if it is a batch of images."""
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
    first = images[:MAX_SAMPLES].astype(np.float64).transpose(0, 2, 3, 1)
    return np.asarray(np.stack([shrink(image) for image in first]).transpose(0, 3, 1, 2), np.float32)


def image_input(feeds: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return the first input if it can be a batch of images, else None."""
    first = next(iter(feeds.values()))
    return first if first.ndim == 4 and first.shape[1] in (1, 3) and first.dtype.kind == "f" else None
