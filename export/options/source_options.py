"""The options that describe the model and its inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import InputError


@dataclass(frozen=True)
class SourceOptions:
    """The command line's options about the model that is handed in, not yet held to it."""

    arch: str | None = None
    """A name of the registry (``--arch``)."""
    factory: str | None = None
    """``package.module:callable`` that returns the module (``--factory``, or MODEL itself); the current directory is importable."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the architecture or factory (``--kwargs``, a JSON object)."""
    inputs: tuple[str, ...] = ()
    """``x=1x3x224x224[:float32]``, one per input of the model (``--input``)."""
    dynamic: tuple[str, ...] = ()
    """``x:AXIS=[SYMBOL=]min:opt:max`` (``--dynamic``); see :mod:`.inputs` for the whole spelling."""
    static: bool = False
    """No axis is symbolic."""
    allow_pickle: bool = False
    """Run the code that a pickled module imports. Only for files that are trusted."""
    random_weights: bool = False
    """With an architecture or a factory and no file: the weights it draws at seed 0."""
    own_weights: bool = False
    """With a factory and no file: the weights of the module that it returns (MODEL is ``package.module:callable``)."""


def parse_kwargs(text: str) -> dict[str, Any]:
    """Read ``--kwargs``. Raises InputError for anything but a JSON object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"--kwargs {text!r} is not JSON: {error}", """write for example --kwargs '{"depth": 2}'"""
        ) from error
    if not isinstance(value, dict):
        raise InputError(
            f"--kwargs {text!r} is a JSON {type(value).__name__}", """write an object: --kwargs '{"depth": 2}'"""
        )
    return value
