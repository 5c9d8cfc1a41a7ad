"""``attnexport decode``: rows of tokens through a bundle's encoder and step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError


def decode(
    bundle: Annotated[Path, typer.Argument(help="A bundle of an encoder-decoder network, NAME.attn.")],
    tokens: Annotated[list[str] | None, typer.Option(help="Source tokens of one row, as '5 8 12'; repeatable.")] = None,
    beam: Annotated[int, typer.Option(help="Width of a beam search; 1 decodes greedily.")] = 1,
    alpha: Annotated[float, typer.Option(help="With --beam: how much length counts, 0 for not at all.")] = 0.6,
    limit: Annotated[int | None, typer.Option(help="Fewer tokens than the bundle's limit.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp16 or fp32; fp16 where the bundle has it.")] = None,
    backend: Annotated[
        str, typer.Option(help="onnxruntime, emulated (rounded to 16 bits after every node), or tensorrt.")
    ] = "onnxruntime",
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with every hypothesis and its score.")
    ] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Decode source tokens with a bundle's encoder and step: a line of target tokens per row; '...' where no end came."""
    from ..runtime.decode import open_decoder
    from ..runtime.show.decode_table import show_decodes

    rows = [token_row(text) for text in tokens or ()]
    with open_decoder(bundle, precision=precision, backend=backend) as decoder:
        source = decoder.padded(rows)
        if beam == 1:
            found = [[one] for one in decoder.greedy(source, limit=limit)]
        else:
            found = decoder.beam_search(source, width=beam, alpha=alpha, limit=limit)
        how = f"{decoder.how}, {decoder.precision}"
    show_decodes(found, how, as_json=json_output)


def token_row(text: str) -> list[int]:
    """``5 8 12`` or ``5,8,12`` as whole numbers. Raises InputError naming the word that is none."""
    row: list[int] = []
    for word in text.replace(",", " ").split():
        try:
            row.append(int(word))
        except ValueError as error:
            raise InputError(f"token {word!r} in --tokens is no whole number", "write them as '5 8 12'") from error
    return row
