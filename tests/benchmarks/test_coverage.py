"""The sweep over third-party architectures: its table, its page, and (marked sweep) that what passed passes still."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from attnexport.benchmarks.coverage import apart
from attnexport.benchmarks.coverage_case import Case
from attnexport.benchmarks.coverage_cases import cases
from attnexport.benchmarks.coverage_measure import Row, command
from attnexport.benchmarks.coverage_page import page

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "benchmarks" / "coverage.json"


def rows() -> list[dict]:
    return json.loads(FIGURES.read_text(encoding="utf-8"))


def passed() -> list[str]:
    good = [row for row in rows() if not row["failed"] and row["batch"] and row["layers32"] and row["layers16"]]
    return [f"{row['package']}/{row['name']}" for row in good]


def test_the_table_has_no_architecture_twice_and_the_figures_no_other():

    keys = [case.key for case in cases()]
    assert len(set(keys)) == len(keys)
    assert {f"{row['package']}/{row['name']}" for row in rows()} <= set(keys)


def test_the_bar_is_held():
    keys = passed()
    assert len(keys) >= 40
    assert len({key.partition("/")[0] for key in keys}) >= 5


def test_the_page_is_what_the_figures_make():

    known = {f"{row['package']}/{row['name']}" for row in rows()}
    said = page([Row(**row) for row in rows()], [case.key for case in cases() if case.key not in known])
    assert (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8") == said
    assert f"{len(passed())} of {len(rows())} architectures" in said
    for row in rows():
        assert f"| {row['package']} | {row['name']} |" in said
        assert bool(row["reason"]) == bool(row["failed"])


def test_a_row_of_an_architecture_that_fails_says_where():

    case = Case("torch", "Odd", "torch.nn:Softmax", {"dim": 1}, ("input=2x3",), ("input:0=1:2:4",))
    assert command(case) == (
        "attnexport --factory torch.nn:Softmax --kwargs '{\"dim\": 1}' --random-weights --input input=2x3 --dynamic input:0=1:2:4 --trt=rtx"
    )
    failed = Row("torch", "Odd", "", failed="capture", reason="no | translation")
    said = page([failed, Row("torch", "Good", "", "2.13", 5, 7, True, 1.0, 1.5, 3, 4)])
    assert "1 of 2 architectures of 1 packages" in said
    assert "| torch | Odd | capture | no \\| translation |" in said
    assert "| torch | Good | 0 k | 7 | 1.00x | 1.50x | 3, 4 |  |" in said


@pytest.mark.sweep
@pytest.mark.parametrize("key", passed() if FIGURES.exists() else [])
def test_what_passed_passes(key):

    package = key.partition("/")[0]
    try:
        version(package)
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    case = next(case for case in cases() if case.key == key)
    row = apart(case)
    assert row.passed, f"{row.failed}: {row.reason}"
