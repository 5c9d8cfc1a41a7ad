"""What was found, as JSON and as the rows that a person is shown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from attnexport.runtime.bundle.attribution import Blame
from attnexport.runtime.bundle.divergence import Divergence, ModuleDivergence, OutputError, Reproducer, TensorError
from attnexport.runtime.show.divergence_table import around, number, print_divergence

INF = float("inf")


def row(name: str, entering: float | None, leaving: float | None) -> ModuleDivergence:
    return ModuleDivergence(name, "Part", f"net.py:{name}", 1, 1, entering, leaving, "fp32")


@pytest.mark.parametrize(
    ("entering", "leaving", "growth"),
    [
        (1e-6, 2e-6, 2.0), (INF, INF, 1.0), (1e-3, INF, INF), (0.0, 0.0, 1.0),
        (0.0, 1e-7, None), (None, 1.0, None), (1.0, None, None), (INF, 1.0, None),
    ],
)  # fmt: skip
def test_growth_is_error_out_over_error_in(entering: float | None, leaving: float | None, growth: float | None) -> None:
    assert row("a", entering, leaving).growth == growth


MODULES = tuple(row(str(i), 1.0, 1.0 + i % 20) for i in range(40))
FOUND = Divergence("lower", "float32", "random-min", "steps", (), MODULES, ())


def test_the_table_shows_the_modules_near_the_place() -> None:
    at_place = replace(FOUND, place=Blame("lower", "30", node="30/Mul"), tensor="t")
    assert [r.module for r in around(at_place)] == [str(i) for i in range(24, 37)]
    at_start = replace(FOUND, place=Blame("lower", "1", node="1/Mul"), tensor="t")
    assert [r.module for r in around(at_start)] == [str(i) for i in range(8)]


def test_without_a_place_it_shows_where_errors_grow_most_in_the_order_of_the_network() -> None:
    assert [r.module for r in around(FOUND)] == [*map(str, range(14, 20)), *map(str, range(34, 40))]
    few = replace(FOUND, modules=MODULES[:13])
    assert around(few) == MODULES[:13]


def printed(found: Divergence, **options: bool) -> str:
    console = Console(width=200, record=True, file=StringIO())
    print_divergence(console, found, **{"every": False, "tensors": False, **options})
    return console.export_text()


def test_the_output_contains_place_command_and_hidden_modules() -> None:
    fault = OutputError("lower", "float32", "y", "random-min", 0.1, 30.0, "verify: output 'y' errs.")
    tensor = TensorError("mul_1", "30/Mul", "Mul", "30", "Part", "net.py:7", (2, 3), "fp32", 0.1, 0.5, 1.0)
    found = replace(
        FOUND,
        outputs=(fault,),
        tensors=(tensor,),
        place=Blame("lower", "30", "Part", "net.py:7", "30/Mul"),
        tensor="mul_1",
        reproducer=Reproducer("net.debug", "python net.debug/reproduce.py", "mul_1", ("a",), 2, 0.1, 1e-3),
    )
    said = printed(found)
    assert "FAIL output 'y' errs\n" in said
    assert "the error comes in at lower, module 30 (net.py:7)" in said
    assert "2 nodes alone, with the original's tensors as inputs: error 1.0e-01, limit 1.0e-03" in said
    assert "python net.debug/reproduce.py" in said
    assert "and 27 more modules: --all" in said
    assert "mul_1" not in said.split("FAIL")[0]
    assert "nothing diverges" not in said
    everything = printed(found, every=True, tensors=True)
    assert "more modules" not in everything
    assert re.search(r"^mul_1 +30/Mul +net.py:7 +2x3 +1.0e-01 +5.0e-01 +fp32", everything, re.MULTILINE)
    assert "nothing diverges" in printed(FOUND)


def test_a_graph_without_modules_shows_the_tensors_near_the_place() -> None:
    tensors = tuple(TensorError(f"t{i}.", f"n{i}", "Mul", "", "", "", (), "fp32", 0.1, 0.5, 1.0) for i in range(30))
    said = printed(replace(FOUND, modules=MODULES[:1], tensors=tensors, tensor="t20."))
    assert [i for i in range(30) if f"t{i}." in said] == list(range(14, 27))


def test_json_contains_verdict_and_growth() -> None:
    good, bad = (OutputError("lower", "float32", "y", "random-min", 0.1, INF, fault) for fault in ("", "wrong"))
    found = replace(FOUND, outputs=(good,), modules=(row("a", 1e-3, INF), row("b", 1.0, 3.0), row("c", None, 1.0)))
    assert found.passed
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["passed"] is True
    assert [m["growth"] for m in content["modules"]] == ["inf", 3.0, None]
    assert content["outputs"][0]["ratio"] == "inf"
    assert not replace(found, outputs=(good, bad)).passed


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (INF, "inf"), (float("nan"), "nan"), (0.00123, "1.2e-03")])
def test_a_figure_has_two_digits(value: float | None, text: str) -> None:
    assert number(value) == text
