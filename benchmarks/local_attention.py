"""Local-attention layers: attnexport against the plain torch.onnx export, torch eager and torch.compile, on the CPU.

``python benchmarks/local_attention.py [--layers PATTERN] [--batch N] [--quick] [--json FILE] [--png FILE]``. All contenders of a
layer run in one process in interleaved rounds, on two threads each; the figure is the ratio of medians, since a shared machine's
absolute times mean little. Before anything is timed each contender's output is held to the layer in FP64.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from attnexport.benchmarks.local_attention_contenders import WrongContender
from attnexport.benchmarks.local_attention_report import show, write_json
from attnexport.benchmarks.local_attention_row import Row, Settings, measure
from attnexport.benchmarks.local_attention_suite import Layer, choose
from attnexport.errors import AttnexportError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument(
        "--layers", metavar="PATTERN", help="a regular expression found in the layer's name, as dot-k7"
    )
    options.add_argument("--batch", type=int, help="only layers of this batch")
    options.add_argument("--rounds", type=int, help="rounds of each layer (15)")
    options.add_argument("--quick", action="store_true", help="5 rounds; no compile, no profile, no memory")
    options.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options.add_argument("--engines", action="store_true", help="also build TensorRT-RTX engines, FP32 and FP16")
    options.add_argument("--list", action="store_true", help="name the layers and stop")
    options.add_argument("--json", type=Path, metavar="FILE")
    options.add_argument("--png", type=Path, metavar="FILE")
    return options


def settings_of(chosen: argparse.Namespace) -> Settings:
    """What the options ask for."""
    full = not chosen.quick
    rounds = chosen.rounds or (15 if full else 5)
    return Settings(
        rounds=rounds, compile=full and not chosen.no_compile, memory=full, profile=full, engines=chosen.engines
    )


def run(layers: Sequence[Layer], settings: Settings, console: Console) -> list[Row]:
    """Measure layer after layer.

    Raises WrongContender at the first wrong output and AttnexportError at the first stage that fails, once the layer was named.
    """
    rows = []
    with console.status("") as status:
        for i, layer in enumerate(layers):

            def say(text: str, head: str = f"{i + 1}/{len(layers)} {layer.name}") -> None:
                status.update(f"{head}: {text}")

            try:
                row = measure(layer, settings, say)
            except (WrongContender, AttnexportError):
                console.print(f"[red]{layer.name} stops the run[/]", highlight=False)
                raise
            rows.append(row)
            console.print(f"{layer.name}: {row.ratios['plain']} the plain export", highlight=False)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write. 1 where a contender is wrong or cannot be made, 2 where no layer fits."""
    chosen = parser().parse_args(arguments)
    errors = Console(stderr=True)
    console = Console(width=None if sys.stdout.isatty() else 200)  # a pipe has no width to fit into
    layers = choose(chosen.layers, chosen.batch)
    if not layers:
        errors.print(f"no layer fits --layers {chosen.layers!r} --batch {chosen.batch}; --list names them")
        return 2
    if chosen.list:
        console.print("\n".join(layer.name for layer in layers), highlight=False)
        return 0
    try:
        rows = run(layers, settings_of(chosen), errors)
    except (WrongContender, AttnexportError) as error:
        errors.print(f"{type(error).__name__}: {error}", highlight=False, markup=False)
        return 1
    show(rows, console)
    if chosen.json is not None:
        write_json(rows, chosen.json)
    if chosen.png is not None:
        from attnexport.benchmarks.local_attention_chart import write_png

        write_png(rows, chosen.png)
    return 0


if __name__ == "__main__":
    sys.exit(main())
