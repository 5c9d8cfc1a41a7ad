"""``attnexport inspect``: the contents of a bundle, or its attention maps over an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .common import AsJson, BundlePath, Debug


def inspect(
    bundle: BundlePath,
    layers: Annotated[bool, typer.Option(help="List every layer of the engines.")] = False,
    attention: Annotated[
        Path | None, typer.Option(help="Draw the attention maps over this image instead; requires matplotlib.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="With --attention: the PNG; IMAGE.attention.png by default.")
    ] = None,
    mean: Annotated[
        str, typer.Option(help="With --attention: mean that is subtracted from pixels in 0..1, as 0.5 or 0.4,0.5,0.6.")
    ] = "0",
    std: Annotated[
        str, typer.Option(help="With --attention: standard deviation that pixels are divided by, likewise.")
    ] = "1",
    json_output: AsJson = False,
    debug: Debug = False,
) -> None:
    """Print the contents of a bundle: rewrites with reasons, operators, precisions, engine layers, parity."""
    if attention is not None:
        from ..runtime.inputs.picture import numbers
        from ..runtime.show.attention_picture import draw_attention
        from ..runtime.show.written import show_written

        picture = draw_attention(bundle, attention, out, mean=numbers(mean, "--mean"), std=numbers(std, "--std"))
        show_written(picture, "picture", as_json=json_output)
        return
    if out is not None or (mean, std) != ("0", "1"):
        raise InputError("--out, --mean and --std require --attention", "add --attention IMAGE")
    from ..runtime.show.inspect import inspect as run_inspect
    from ..runtime.show.inspection_text import show_inspection

    show_inspection(run_inspect(bundle), layers=layers, as_json=json_output)
