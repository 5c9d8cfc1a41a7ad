"""All commands as one program: ``attnexport MODEL`` is the export, and every error is one line with its exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import typer

from ..errors import AttnexportError, InputError, first_line
from ..version import __version__
from .bench import bench
from .check import check
from .debug import debug
from .decode import decode
from .doctor import doctor
from .export import export
from .help import HELP
from .inspect import inspect
from .models import models
from .rebuild import rebuild
from .report import report
from .scan import scan
from .serve import serve
from .triton import triton

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, no_args_is_help=True)
for _command in (export, check, rebuild, inspect, decode, debug, bench, doctor, models, report, scan, triton, serve):
    app.command()(_command)

FLAVOURS = ("auto", "rtx", "enterprise")
COMMANDS = tuple(command.callback.__name__ for command in app.registered_commands if command.callback is not None)


def arguments(argv: Sequence[str]) -> list[str]:
    """Return the arguments for typer: without a command ``export`` is inserted; ``--trt`` without a flavour is ``--trt=auto``."""
    given = list(argv)
    words = ["export"] if given and given[0] not in COMMANDS else []
    while given:
        word = given.pop(0)
        if word == "--trt":
            word = f"--trt={given.pop(0) if given and given[0] in FLAVOURS else 'auto'}"
        words.append(word)
    return words


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"--help", "-h"}:
        sys.stdout.write(HELP)
        sys.exit(0)
    if words[0] == "--version":
        sys.stdout.write(f"attnexport {__version__}\n")
        sys.exit(0)
    try:
        app(args=arguments(words), prog_name="attnexport")
    except KeyboardInterrupt:
        sys.stderr.write("attnexport: interrupted, nothing was written\n")
        sys.exit(130)
    except Exception as error:
        if "--debug" in words:
            traceback.print_exception(error)
        sys.exit(_fail(error, as_json=_wants_json(words)))


def _wants_json(words: Sequence[str]) -> bool:
    """Whether standard output is JSON. The --json of bench takes a file, and - is standard output."""
    if words[0] == "bench":
        return ("--json", "-") in pairwise(words) or "--json=-" in words
    return "--json" in words


def _fail(error: Exception, *, as_json: bool) -> int:
    """Print one line for an error and return its exit code. An unexpected error is reported as a fault of attnexport."""
    if isinstance(error, AttnexportError):
        code, text = error.exit_code, str(error)
    elif isinstance(error, OSError):
        shown = InputError(f"{error.strerror or error}: {error.filename or ''}", "check the path and the space on disk")
        code, text = shown.exit_code, str(shown)
    else:
        code = 1
        text = (
            f"a fault in attnexport, {type(error).__name__}: {first_line(error)}. Run again with --debug and report it."
        )
    if as_json:
        import json

        fields: dict[str, Any] = {"error": text, "kind": type(error).__name__, "exit_code": code}
        sys.stdout.write(json.dumps(fields) + "\n")
    else:
        sys.stderr.write(f"attnexport: {text}\n")
    return code
