"""Hostile files: each carries a canary, a file that must not appear, and each ends in one line that says why it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from attnexport.errors import InputError
from attnexport.export.source import SourceOptions, load


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """The file that every payload tries to make."""
    return tmp_path / "canary"


@pytest.fixture
def refusal(canary: Path) -> Callable[[Path], str]:
    """Load a hostile file as every command does; return the line of its refusal. No canary may exist after it."""

    def run(path: Path) -> str:
        with pytest.raises(InputError) as caught:
            load(path, SourceOptions(inputs=("x=1x3x8x8",) if path.suffix == ".pt" else ()))
        message = str(caught.value)
        assert not canary.exists(), "the file ran code"
        assert caught.value.exit_code == 2
        assert "\n" not in message
        assert len(message) < 700
        return message

    return run
