"""Commands that take options of the export take them from one table, with the same names, defaults and help."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from attnexport.cli.run import app
from attnexport.errors import InputError
from attnexport.export.engine import EngineOptions
from attnexport.export.option_table import ENGINE, OPTIONS, SOURCE
from attnexport.export.options import ExportOptions, read_engine_options, read_options

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group

LIMITS = {"time_limit", "memory_limit"}

TAKEN = [("export", option) for option in OPTIONS]
TAKEN += [(command, option) for command in ("scan", "bench", "debug") for option in SOURCE if option.name != "model"]
TAKEN += [(command, option) for command in ("rebuild", "debug") for option in ENGINE]


@pytest.mark.parametrize(("command", "option"), TAKEN)
def test_an_option_of_the_table_is_an_option_of_the_command(command, option) -> None:
    (parameter,) = [p for p in COMMANDS[command].params if p.name == option.name]
    assert (parameter.help, parameter.default or None) == (option.help, option.default or None)
    if option.name != "model":
        assert option.flag in parameter.opts


def test_a_command_takes_no_other_options() -> None:
    names = {p.name for p in COMMANDS["scan"].params} - {"help"}
    assert names == {*(o.name for o in SOURCE), "target", "json_output", "debug", *LIMITS}
    names = {p.name for p in COMMANDS["rebuild"].params} - {"help"}
    assert names == {
        *(o.name for o in ENGINE),
        "bundle",
        "trt",
        "precision",
        "out",
        "force",
        "json_output",
        "debug",
        *LIMITS,
    }


def test_options_that_are_left_out_have_their_default() -> None:
    assert read_options(model=Path("net.pt")) == ExportOptions(model=Path("net.pt"))
    assert read_options(model="net.pt", trt=None, inputs=None) == ExportOptions(model=Path("net.pt"))
    assert read_options(model="net.pt", kwargs='{"depth": 3}').source.kwargs == {"depth": 3}
    assert read_options(model="net.pt", kwargs={"depth": 3}).source.kwargs == {"depth": 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kwargs": "[1"}, "--kwargs '[1' is not JSON"),
        ({"presision": "fp16"}, "option 'presision' is not known. see attnexport export --help"),
        ({"trt": "lite"}, "--trt lite is not known. use one of auto, rtx, enterprise"),
        ({"precision": "int4"}, "--precision int4 is not known. use one of auto, fp16, bf16, fp32, int8, fp8"),
        ({"io_precision": "fp8"}, "--io-precision fp8 is not known. use one of fp32, same"),
        ({"calibration": "minmax"}, "--calibration requires --precision int8 or fp8"),
        ({"precision": "int8", "io_precision": "same"}, "--io-precision same does not go with --precision int8"),
        ({"precision": "bf16", "io_precision": "same"}, "--io-precision same does not go with --precision bf16"),
        ({"precision_time": 0.0}, "--precision-time 0 is not above 0. give a number above 0"),
        ({"precision_target": -1.0}, "--precision-target -1 is not above 0"),
        ({"gate": 0.0}, "--gate 0 is not above 0"),
        ({"gate": "2"}, "--gate takes a number, not '2'"),
        ({"seed": -1}, "--seed -1 is below 0. give a whole number from 0"),
        ({"limit": 0}, "--limit 0 is below 1. give a whole number from 1"),
        ({"outputs": "logits"}, "--output takes a list, not 'logits'"),
        ({"extra_outputs": "logits"}, "--outputs logits is not known. use --outputs attention"),
        ({"model": None}, "no MODEL is given"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it_and_its_value(options, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_options(**{"model": Path("net.pt"), **options})
    assert message in str(caught.value)


def test_the_options_of_an_engine_are_read_alone_or_with_an_export() -> None:
    options = {"workspace": "512M", "timing_cache": Path("t"), "compute_capabilities": ["8.6", "8.9"],
               "optimization_level": 4, "build_time_limit": 90.0}  # fmt: skip
    engine = read_engine_options(**options)
    assert engine == EngineOptions(512 << 20, Path("t"), ("8.6", "8.9"), 4, time_limit_s=90.0)
    assert engine == read_options(model="net.pt", **options).engine
    with pytest.raises(InputError, match="--workspace 'much' is not an amount of memory"):
        read_engine_options(workspace="much")
