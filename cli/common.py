"""Options that commands share: those of the export, from their table, and those of every command."""

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from ..export.option_table import OPTIONS, Option

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Debug = Annotated[bool, typer.Option(help="Show tracebacks.")]
BundlePath = Annotated[Path, typer.Argument(help="The bundle, NAME.attn.")]


def takes(options: Iterable[Option] = OPTIONS) -> Callable[[Any], Any]:
    """Give a command these options, by default those of the export, except those that it defines itself.

    The command receives them as keyword arguments under their names in the table.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters
        hints = get_type_hints(command, include_extras=True)
        keywords = [
            p.replace(kind=p.KEYWORD_ONLY, annotation=hints[p.name])
            for p in own.values()
            if p.kind is not p.VAR_KEYWORD
        ]
        added = [_parameter(option) for option in options if option.name not in own]
        command.__signature__ = inspect.Signature([*added, *keywords])  # type: ignore[attr-defined]  # typer reads it
        return command

    return decorate


def _parameter(option: Option) -> inspect.Parameter:
    declared = (
        typer.Argument(help=option.help) if option.name == "model" else typer.Option(*option.flags, help=option.help)
    )
    default = None if get_origin(option.type) is list else option.default
    annotation = option.type if default is not None else option.type | None
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, declared]
    )
