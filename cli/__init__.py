"""The command line: parse, call one function, print. ``run.py`` puts the commands together."""

from .run import COMMANDS, HELP, arguments, main

__all__ = ["COMMANDS", "HELP", "arguments", "main"]
