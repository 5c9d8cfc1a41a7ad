"""The images that spatial transformers have sampled: PyTorch's beside those of the export. Kept in ``report.npz``, plain arrays:

input                  the images that went in, (N, 1 or 3, H, W)
<form>/<module>        what the module's grid_sample made of them, by form, and PyTorch's in FP64 as ``truth``
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import BundleError
from ...runtime.bundle.writer import BundleFolder
from ...runtime.inputs.arrays import UnreadableError, read_npz
from ..verify.module_error import TRUTH
from . import show_values, words
from .content import Graph
from .markup import Content as Html
from .markup import Markup, join, tag
from .png import shrink
from .runs import SHOWN, pixels
from .tables import code, table

FILE = "report.npz"
_INPUT = "input"


def keep_sampled(
    folder: BundleFolder, image: np.ndarray | None, sampled: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Write a few sampled images, small, into a bundle in the making; nothing where there are none. ``image``: the input, if it is one."""
    if not sampled:
        return
    arrays = {f"{form}/{module}": _small(array) for module, forms in sampled.items() for form, array in forms.items()}
    if image is not None:
        arrays[_INPUT] = _small(image)
    with (folder.path / FILE).open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # the stub lets a name be allow_pickle
    folder.add(FILE, "report")


def _small(images: np.ndarray) -> np.ndarray:
    some = images[:SHOWN].astype(np.float64).transpose(0, 2, 3, 1)
    return np.asarray(np.stack([shrink(image) for image in some]).transpose(0, 3, 1, 2), np.float32)


def sampled_images(graph: Graph) -> Markup | None:
    """A table for each module that samples; None for a bundle without any. Raises BundleError for a damaged file."""
    path = graph.folder / FILE
    if not path.is_file():
        return None
    try:
        arrays = read_npz(path)
    except UnreadableError as error:
        raise BundleError(f"{path} cannot be read ({error})", "copy the whole bundle again") from error
    modules: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        form, slash, module = key.partition("/")
        if slash and array.ndim == 4 and array.shape[1] in (1, 3):
            modules.setdefault(module, {})[form] = array
    given = arrays.get(_INPUT)
    return join([_module(graph, module, forms, given) for module, forms in modules.items() if TRUTH in forms])


def _module(graph: Graph, module: str, forms: dict[str, np.ndarray], given: np.ndarray | None) -> Markup:
    truth = forms.pop(TRUTH)
    columns = [
        *((("input", ""),) if given is not None else ()),
        ("PyTorch, FP64", ""),
        *((words.stage(form), "") for form in forms),
    ]
    rows: list[list[Html]] = []
    for i, image in enumerate(truth):
        low, high = float(image.min()), float(image.max())
        cells: list[Html] = [show_values.image(pixels(graph, given[i]))] if given is not None else []
        cells.append(show_values.image_output(image, low, high, None))
        cells += [show_values.image_output(array[i], low, high, image) for array in forms.values()]
        rows.append(cells)
    return join(tag("h3", "Sampled by ", code(module or "<root>")), table(columns, rows, class_="gallery"))


def image_input(feeds: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The first input, where it may be a batch of images."""
    first = next(iter(feeds.values()))
    return first if first.ndim == 4 and first.shape[1] in (1, 3) and first.dtype.kind == "f" else None
