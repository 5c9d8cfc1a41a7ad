"""Commands that take a model as the export does take its options under the same names, with the same words and defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from attnexport.cli.borrow import ENGINE, SOURCE, read, read_engine
from attnexport.cli.run import app
from attnexport.errors import InputError
from attnexport.export.engine import EngineOptions
from attnexport.export.options import ExportOptions

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group


OPTIONS = [(command, name) for command in ("scan", "bench", "debug") for name in SOURCE if name != "model"]
OPTIONS += [(command, name) for command in ("rebuild", "debug") for name in ENGINE]


@pytest.mark.parametrize(("command", "name"), OPTIONS)
def test_an_option_of_the_source_or_of_the_engine_is_the_exports(command: str, name: str) -> None:
    theirs = {p.name: p for p in COMMANDS["export"].params}[name]
    (mine,) = [p for p in COMMANDS[command].params if p.name == name]
    assert (mine.opts, mine.secondary_opts, mine.default, mine.help) == (
        theirs.opts, theirs.secondary_opts, theirs.default, theirs.help,
    )  # fmt: skip


def test_only_what_is_asked_for_is_borrowed() -> None:
    names = {p.name for p in COMMANDS["scan"].params} - {"help"}
    assert names == {*SOURCE, "target", "json_output", "debug"}
    names = {p.name for p in COMMANDS["rebuild"].params} - {"help"}
    assert names == {*ENGINE, "bundle", "trt", "precision", "out", "force", "json_output", "debug"}


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


def test_how_an_engine_is_built_is_said_as_in_an_export() -> None:
    words = {"workspace": "512M", "timing_cache": Path("t"), "compute_capability": ["8.6", "8.9"],
             "optimization_level": 4, "build_time_limit": 90.0}  # fmt: skip
    built = read_engine({**words, "debug": True})
    assert built == EngineOptions(512 << 20, Path("t"), ("8.6", "8.9"), 4, time_limit_s=90.0)
    assert built == read({**words, "model": Path("net.pt")}).engine
    with pytest.raises(InputError, match="--workspace 'much' is no amount of memory"):
        read_engine({**words, "workspace": "much"})
