"""The options of the export as those of another command, which is given them under the same names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from .export import export

if TYPE_CHECKING:
    from ..export.engine.options import EngineOptions
    from ..export.options import ExportOptions

_RENAMED = {"output": "outputs", "outputs": "extra_outputs", "compute_capability": "compute_capabilities"}
_OF_THE_COMMAND = ("json_output", "quiet", "debug")

SOURCE = ("model", "arch", "factory", "kwargs", "random_weights", "allow_pickle", "inputs", "dynamic", "static")
"""The options that say what the model is, and what it takes."""

ENGINE = ("workspace", "timing_cache", "compute_capability", "optimization_level", "build_time_limit")
"""The options that say how TensorRT builds."""


def borrows(only: Collection[str] | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command of keywords the options of the export that it has none of its own for: all, or ``only`` these.

    The command takes them as ``**words``, which :func:`read` understands.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters
        theirs = inspect.signature(export).parameters
        hints = {**get_type_hints(export, include_extras=True), **get_type_hints(command, include_extras=True)}
        keywords = [p for p in own.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        borrowed = [p for name, p in theirs.items() if name not in own and (only is None or name in only)]
        command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads
            [p.replace(kind=p.KEYWORD_ONLY, annotation=hints[p.name]) for p in (*keywords, *borrowed)]
        )
        return command

    return decorate


def read(words: Mapping[str, Any]) -> ExportOptions:
    """The export that the borrowed words ask for; what they do not say is as in an export.

    Raises InputError as ``attnexport MODEL`` does.
    """
    from ..export.options import ExportOptions

    said = {**{name: p.default for name, p in inspect.signature(export).parameters.items()}, **words}
    given = {_RENAMED.get(name, name): value for name, value in said.items() if name not in _OF_THE_COMMAND}
    for name in ("inputs", "dynamic", "outputs", "compute_capabilities"):
        given[name] = given.get(name) or ()
    return ExportOptions.from_strings(**given)


def read_engine(words: Mapping[str, Any]) -> EngineOptions:
    """How an engine is built, of the borrowed words of :data:`ENGINE`. Needs no torch; raises InputError as an export does."""
    from ..export.engine.options import EngineOptions

    return EngineOptions.from_strings(**{_RENAMED.get(name, name): words[name] for name in ENGINE})
