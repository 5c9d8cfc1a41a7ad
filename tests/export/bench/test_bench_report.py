"""The JSON of a benchmark: its content, its round trip, its errors, and its page."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from attnexport.errors import InputError
from attnexport.runtime.bundle import bench_report as record
from attnexport.runtime.bundle.bench_report import BenchReport

PAGE = Path(__file__).resolve().parents[3] / "docs" / "bench.md"


def test_a_report_survives_its_round_trip(report: BenchReport, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    report.write(path)
    assert BenchReport.read(path) == report
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["format"], content["schema"]) == ("attnexport-bench", 1)
    (timing,) = (t for t in content["points"][1]["timings"] if t["contender"] == "attnexport")
    assert timing["median"] == {"value": 20.0, "low": 19.0, "high": 22.0}
    assert timing["memory"] == {"peak": 80_000_000, "added": 2_500_000, "device": None}
    assert (content["settings"]["tf32"], content["settings"]["clock"]) == (False, "cuda-events")
    assert content["machine"]["gpu"]["power"] == {"value": 70, "low": 30, "high": 71.6}


def altered(report: BenchReport, **changes: Any) -> dict[str, Any]:
    return {**report.to_json(), **changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "attnexport-bundle"}, "has format 'attnexport-bundle' and not 'attnexport-bench'"),
        ({"schema": 2}, "has schema 2 and this attnexport reads 1. measure again"),
        ({"points": [{}]}, "field 'points[0].sizes' is missing. measure again with attnexport bench --json"),
        ({"settings": None}, "field 'settings' must be an object"),
        ({"more": 1}, "field 'more' is not known"),
    ],
)
def test_invalid_content_is_refused(report: BenchReport, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        BenchReport.from_json(altered(report, **changes))
    assert words in str(raised.value)


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_an_unreadable_file_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "bench.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="bench"):
        BenchReport.read(path)


def test_an_entrant_is_found_by_name(report: BenchReport) -> None:
    assert report.entrant("tensorrt").state == "absent"
    with pytest.raises(KeyError):
        report.entrant("onnx")


def test_the_page_names_every_field() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", page))
    sections = [
        section
        for section in vars(record).values()
        if dataclasses.is_dataclass(section) and section.__module__ == record.__name__
    ]
    assert len(sections) == 11
    assert {field.name for section in sections for field in dataclasses.fields(section)} - named == set()
