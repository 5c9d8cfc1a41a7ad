"""Commands that take a model as the export does take its options under the same names, with the same words and defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from attnexport.cli.borrow import SOURCE, read
from attnexport.cli.run import app
from attnexport.errors import InputError
from attnexport.export.options import ExportOptions

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group


@pytest.mark.parametrize("command", ["scan", "bench", "debug"])
@pytest.mark.parametrize("name", [name for name in SOURCE if name != "model"])
def test_an_option_of_the_source_is_the_exports(command: str, name: str) -> None:
    theirs = {p.name: p for p in COMMANDS["export"].params}[name]
    (mine,) = [p for p in COMMANDS[command].params if p.name == name]
    assert (mine.opts, mine.secondary_opts, mine.default, mine.help) == (
        theirs.opts, theirs.secondary_opts, theirs.default, theirs.help,
    )  # fmt: skip


def test_only_what_is_asked_for_is_borrowed() -> None:
    names = {p.name for p in COMMANDS["scan"].params} - {"help"}
    assert names == {*SOURCE, "target", "json_output", "debug"}


def test_what_the_words_do_not_say_is_as_in_an_export() -> None:
    words = {"model": Path("net.pt"), "inputs": ["x=1x3x8x8"], "debug": True, "json_output": True}
    plain = ExportOptions.from_strings(
        model=Path("net.pt"), trt=None, precision="auto", kwargs="{}", workspace=None, gate=2.0, inputs=["x=1x3x8x8"]
    )
    assert read(words) == plain
    assert read({**words, "kwargs": '{"depth": 3}', "static": True}).source.kwargs == {"depth": 3}


def test_a_word_that_is_wrong_is_refused_as_the_export_refuses_it() -> None:
    with pytest.raises(InputError, match="--kwargs"):
        read({"model": Path("net.pt"), "kwargs": "[1"})
