"""``attnexport decode``: decode rows of tokens with a bundle's encoder and step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .common import Debug


def decode(
    bundle: Annotated[Path, typer.Argument(help="A bundle of an encoder-decoder network, NAME.attn.")],
    tokens: Annotated[list[str] | None, typer.Option(help="Source tokens of one row, as '5 8 12'; repeatable.")] = None,
    beam: Annotated[int, typer.Option(help="Width of a beam search; 1 decodes greedily.")] = 1,
    alpha: Annotated[float, typer.Option(help="With --beam: strength of the length normalisation; 0 for none.")] = 0.6,
    limit: Annotated[int | None, typer.Option(help="Most tokens per row, below the bundle's own limit.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp16 or fp32; fp16 if the bundle has it.")] = None,
    backend: Annotated[
        str, typer.Option(help="onnxruntime, emulated (rounded to 16 bits after every node), or tensorrt.")
    ] = "onnxruntime",
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with every hypothesis and its score.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Decode source tokens and print a line of target tokens per row, with '...' if the row has no end token."""
    from ..runtime.decode import open_decoder
    from ..runtime.show.decode_table import show_decodes

    rows = [token_row(text) for text in tokens or ()]
    with open_decoder(bundle, precision=precision, backend=backend) as decoder:
        source = decoder.padded(rows)
        if beam == 1:
            hypotheses = [[best] for best in decoder.greedy(source, limit=limit)]
        else:
            hypotheses = decoder.beam_search(source, width=beam, alpha=alpha, limit=limit)
        how = f"{decoder.how}, {decoder.precision}"
    show_decodes(hypotheses, how, as_json=json_output)


def token_row(text: str) -> list[int]:
    """``5 8 12`` or ``5,8,12`` as integers. Raise InputError for a word that is not one."""
    row: list[int] = []
    for word in text.replace(",", " ").split():
        try:
            row.append(int(word))
        except ValueError as error:
            raise InputError(f"token {word!r} in --tokens is not an integer", "write them as '5 8 12'") from error
    return row
