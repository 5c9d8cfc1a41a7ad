"""The images that spatial transformers sample, in PyTorch and in the export, from ``report.npz``:

input                  the input images, (N, 1 or 3, H, W)
<variant>/<module>     the output of the module's grid_sample; variant ``truth`` is PyTorch in FP64
"""

from __future__ import annotations

import numpy as np

from ...errors import BundleError
from ...runtime.bundle.sections import TRUTH
from ...runtime.inputs.arrays import UnreadableError, read_npz
from ..verify.sampled import FILE, INPUT
from . import show_values, words
from .graphs import Graph
from .markup import Content as Html
from .markup import Markup, join, tag
from .runs import pixels
from .tables import code, table


def sampled_images(graph: Graph) -> Markup | None:
    """Return a table for each module that samples; None if there is none. Raise BundleError for a damaged file."""
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
    given = arrays.get(INPUT)
    return join([_module(graph, module, forms, given) for module, forms in modules.items() if TRUTH in forms])


def _module(graph: Graph, module: str, forms: dict[str, np.ndarray], given: np.ndarray | None) -> Markup:
    reference = forms.pop(TRUTH)
    columns = [
        *((("input", ""),) if given is not None else ()),
        ("PyTorch, FP64", ""),
        *((words.stage(form), "") for form in forms),
    ]
    rows: list[list[Html]] = []
    for i, image in enumerate(reference):
        low, high = float(image.min()), float(image.max())
        cells: list[Html] = [show_values.image(pixels(graph, given[i]))] if given is not None else []
        cells.append(show_values.image_output(image, low, high, None))
        cells += [show_values.image_output(array[i], low, high, image) for array in forms.values()]
        rows.append(cells)
    return join(tag("h3", "Sampled by ", code(module or "<root>")), table(columns, rows, class_="gallery"))
