"""``attnexport debug``: where the error of an export comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..errors import InputError
from .common import AsJson, Debug, takes


@takes()
def debug(
    model: Annotated[
        Path | None, typer.Argument(help="The model, as for an export; or a bundle, NAME.attn, with --model.")
    ] = None,
    original: Annotated[
        Path | None, typer.Option("--model", help="With a bundle: the model that it was made of.")
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(
            help="capture, simplify, raise, recognise, lower, or the type exported to; the first that fails by default."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The folder for what reproduces the error; NAME.debug by default."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace that folder.")] = False,
    every: Annotated[bool, typer.Option("--all", help="List every module, not those around the place alone.")] = False,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor, too.")] = False,
    json_output: AsJson = False,
    quiet: Annotated[bool, typer.Option(help="Print the command that reproduces the error only.")] = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Compare the original in FP64 with a stage, tensor by tensor; find where they part, and write what reproduces it.

    Takes the options of the export. Exits with 1 where an output errs more than the export's gate allows.
    """
    from ..export.api.requirements import require_export

    require_export()
    from ..export.debug import debug as run
    from ..export.options import read_options
    from ..export.pipeline import destination
    from ..runtime.show.console import ConsoleReporter
    from ..runtime.show.divergence_table import show_divergence

    bundle = model if model is not None and model.is_dir() else None
    if original is not None and bundle is None:
        raise InputError(f"--model {original} belongs to a bundle", "give NAME.attn --model MODEL, or MODEL alone")
    read = read_options(**{**options, "model": original if bundle is not None else model})
    folder = out or Path(f"{(bundle or destination(read)).stem}.debug")
    with ConsoleReporter(silent=json_output or quiet) as reporter:
        found = run(read, reporter, stage=stage, bundle=bundle, folder=folder, replace=force)
    form: Literal["table", "json", "quiet"] = "json" if json_output else "quiet" if quiet else "table"
    show_divergence(found, form, every=every, tensors=tensors)
    if not found.passed:
        raise typer.Exit(1)
