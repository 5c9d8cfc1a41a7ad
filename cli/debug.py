"""``attnexport debug``: find the source of an export's error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..errors import InputError
from .common import AsJson, Debug, takes


@takes()
def debug(
    model: Annotated[Path | None, typer.Argument(help="The model, as for an export; or a bundle, NAME.attn.")] = None,
    original: Annotated[
        Path | None, typer.Option("--model", help="With a bundle: the model that it was exported from.")
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(
            help="capture, simplify, raise, recognise, lower, or the type exported to; the first that fails by default."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the files that reproduce the error; default NAME.debug."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace that folder.")] = False,
    every: Annotated[bool, typer.Option("--all", help="List every module, not only those near the error.")] = False,
    tensors: Annotated[bool, typer.Option("--tensors", help="Also list every tensor.")] = False,
    json_output: AsJson = False,
    quiet: Annotated[bool, typer.Option(help="Print only the command that reproduces the error.")] = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Compare a stage with the original in FP64, tensor by tensor; find the first difference and write files that reproduce it.

    Takes the options of the export. Exits with 1 if the error of an output is above the export's gate.
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
