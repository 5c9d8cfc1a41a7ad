"""Draw the attention maps of a bundle over an image: one PNG with a panel for each module.

Matplotlib is imported here only, when something is drawn.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BundleError, InputError, MissingBackendError
from ..bundle.bundle import StoredBundle
from ..files.strangers import refuse_foreign
from ..files.write import new_file
from ..inputs.picture import Scale, read_picture
from ..sessions.ort import OrtSession
from .map_panels import Panel, panels

_SIDE = 2.3
"""The side of a panel, in inches."""
_COLOURS = "inferno"
"""Monotone from dark to bright, so it reads the same in grey."""
_LINE = "#2ee6d6"


_WRITER = "attnexport"
"""What names the program in a PNG."""


def draw_attention(bundle: str | Path, image: str | Path, out: str | Path | None, scale: Scale) -> Path:
    """Run the bundle's FP32 model on ONNX Runtime's CPU over ``image`` and draw its maps to ``out``, a PNG.

    ``out`` is ``NAME.attention.png`` if it is None. Return the path. Raise InputError for a bundle
    without maps or without an image input, for a file that is not an image, and for an ``out`` that
    cannot be written; MissingBackendError without matplotlib or Pillow.
    """
    opened = StoredBundle.open(bundle)
    manifest = opened.manifest
    if not manifest.attention:
        raise InputError(f"{bundle} has no attention maps", "export it again with --outputs attention")
    if len(manifest.inputs) != 1:
        names = ", ".join(spec.name for spec in manifest.inputs)
        raise InputError(f"{bundle} takes {names}, and an image is one input", "give a bundle of an image model")
    models = opened.with_role("model-fp32")
    if not models:
        raise BundleError(f"{bundle} has no FP32 model")
    path = Path(f"{Path(image).stem}.attention.png" if out is None else out)
    if out is None:
        refuse_foreign(path, _WRITER.encode())
    if path.suffix != ".png":
        raise InputError(f"--out {path} does not end in .png", "a picture is written as PNG")
    figure_class = _figure_class()
    picture = read_picture(image, manifest.inputs[0], scale)
    with OrtSession(opened.file(models[0])) as session:
        outputs = session.run({manifest.inputs[0].name: picture.feed})
    figure = _drawn(figure_class, panels(picture.shown, manifest.attention, outputs), manifest.name)
    with new_file(path) as file:
        figure.savefig(file, dpi=110, facecolor="white", metadata={"Software": _WRITER})
    return path


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingBackendError(
            "matplotlib is not installed", "install it with: pip install 'attnexport[draw]'"
        ) from error
    return Figure


def _drawn(figure_class: Any, panels: Sequence[Panel], name: str) -> Any:
    columns = len(panels) if len(panels) <= 5 else math.ceil(math.sqrt(2 * len(panels)))
    rows = math.ceil(len(panels) / columns)
    figure = figure_class(figsize=(columns * _SIDE, rows * (_SIDE + 0.6) + 0.7), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    figure.suptitle(f"{name}: attention maps", fontsize=11, fontweight="bold")
    figure.supxlabel(
        "each map from its least value (dark) to its greatest (bright); one that hardly varies stays even",
        fontsize=8,
        color="0.3",
    )
    return figure


def _draw(axes: Any, panel: Panel) -> None:
    axes.set_title("\n".join((*panel.title.split(" · "), "", "")), fontsize=7.5, fontweight="bold", pad=1)
    caption = panel.caption.replace(": ", ":\n") if len(panel.caption) > 36 else panel.caption
    text = axes.text(
        0.5, 1.015, caption, transform=axes.transAxes, ha="center", va="bottom", fontsize=6.5, color="0.25"
    )
    text.set_in_layout(False)  # the title's empty lines are its room
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("0.6")
    if panel.bars is not None:
        _bars(axes, panel.bars)
    elif panel.matrix is not None:
        axes.imshow(panel.matrix, cmap=_COLOURS, aspect="auto", interpolation="nearest")
    else:
        _over_image(axes, panel)


def _bars(axes: Any, values: np.ndarray) -> None:
    from matplotlib import colormaps

    spread = float(values.max() - values.min()) or 1.0
    axes.bar(
        range(len(values)), values, width=1.0, color=colormaps[_COLOURS](0.15 + 0.7 * (values - values.min()) / spread)
    )
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_box_aspect(1)
    axes.set_yticks([0, float(values.max())], ["0", f"{values.max():.2g}"], fontsize=6)
    axes.set_xlabel("channel", fontsize=6.5)


def _over_image(axes: Any, panel: Panel) -> None:
    shape = panel.background.shape
    if panel.heat is None:
        axes.imshow(panel.background, extent=(0, 1, 1, 0), aspect=shape[0] / shape[1], interpolation="nearest")
    else:
        # Less contrast than the image has, so that its brightness is not taken for the map's.
        grey = 0.15 + 0.6 * panel.background.mean(2)
        middle, reach = (panel.heat.max() + panel.heat.min()) / 2, (panel.heat.max() - panel.heat.min()) / 2
        reach = max(reach, 0.025 * abs(middle), 1e-12)
        axes.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=(0, 1, 1, 0), aspect="auto", interpolation="nearest")
        axes.imshow(
            panel.heat, cmap=_COLOURS, alpha=0.65, extent=panel.extent, aspect="auto", interpolation="nearest",
            vmin=middle - reach, vmax=middle + reach,
        )  # fmt: skip
    low, high = np.zeros(2), np.ones(2)
    for line in panel.lines:
        axes.plot(line[:, 0], line[:, 1], color=_LINE, linewidth=1.1)
        low, high = np.minimum(low, line.min(0) - 0.03), np.maximum(high, line.max(0) + 0.03)
    if panel.mark is not None:
        axes.plot(*panel.mark, "o", color=_LINE, markersize=5, markeredgecolor="black", markeredgewidth=0.6)
    low, high = np.maximum(low, -0.5), np.minimum(high, 1.5)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(high[1], low[1])
    axes.set_box_aspect(shape[0] / shape[1] * (high[1] - low[1]) / (high[0] - low[0]))
