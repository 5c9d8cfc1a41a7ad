"""The command line: parse, call one function, print. One file per command; ``run.py`` puts them together."""

from __future__ import annotations

from .help import HELP
from .run import COMMANDS, arguments, main

__all__ = ["COMMANDS", "HELP", "arguments", "main"]
