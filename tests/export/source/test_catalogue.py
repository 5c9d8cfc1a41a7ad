"""`attnexport models`: every named network with its counts, one with its options, and wrong names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attnexport.cli import main
from attnexport.errors import InputError
from attnexport.export.source import catalogue as module
from attnexport.export.source.catalogue import catalogue
from attnexport.models import registry
from attnexport.models.count import Count, count
from attnexport.runtime.show.model_table import amount


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "attnexport" / "counts.json"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were counted; counting itself is tests/models/test_count.py's."""
    names: list[str] = []

    def noted(entry: Any) -> Count:
        names.append(entry.name)
        return Count(len(names), 25_557_032)

    monkeypatch.setattr(module, "count", noted)
    return names


def run(*argv: str) -> int:
    try:
        main(["models", *argv])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_every_entry_is_listed_by_family(counted: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    lines = capfd.readouterr().out.splitlines()
    for family, names in registry.families().items():
        start = lines.index(next(line for line in lines if line.strip() == family))
        listed = [line.split()[0] for line in lines[start + 1 :] if line.startswith("  ") and line[2] != " "]
        assert listed[: len(names)] == list(names)
    resnet = next(line for line in lines if line.startswith("  resnet50 "))
    assert "25.56 M" in resnet and "3x224x224" in resnet and "arXiv:1512.03385" in resnet
    assert sorted(counted) == list(registry.names())


def test_json_holds_the_same(counted: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    rows = json.loads(capfd.readouterr().out)
    assert sorted(row["name"] for row in rows) == list(registry.names())
    (row,) = (row for row in rows if row["name"] == "stn_tps")
    entry = registry.entry("stn_tps")
    assert (row["family"], row["paper"], row["inputs"]) == ("stn", entry.paper, list(entry.inputs))
    assert "options" not in row


def test_one_network_is_shown_with_its_options(capfd: pytest.CaptureFixture[str]) -> None:
    counts = count(registry.entry("vit_ti16"))
    assert run("vit_ti16") == 0
    text = capfd.readouterr().out
    for shown in (
        f"{counts.parameters:,}",
        f"{counts.multiply_adds:,}",
        "x float32 [batch=1:4:16, 3, 224, 224]",
        'positions = "learned_1d"',
    ):
        assert shown in text
    assert run("vit_ti16", "--json") == 0
    row = json.loads(capfd.readouterr().out)
    assert row["options"]["patch"] == 16
    assert (row["parameters"], row["multiply_adds"]) == (counts.parameters, counts.multiply_adds)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vit_b1", "architecture 'vit_b1' is not known: did you mean vit_b16 or "),
        ("zzz", "architecture 'zzz' is not known: attnexport models lists the "),
    ],
)
def test_a_wrong_name_is_one_line_and_exit_code_2(name: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(name) == 2
    streams = capfd.readouterr()
    assert streams.out == ""
    assert streams.err.startswith(f"attnexport: {said}")
    assert streams.err.count("\n") == 1
    with pytest.raises(InputError, match=said):
        catalogue(name)


def test_counts_are_kept_and_counted_anew_when_the_code_changes(
    counted: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = catalogue("vit_ti16")
    assert catalogue("vit_ti16") == first
    catalogue("vit_s16")
    assert counted == ["vit_ti16", "vit_s16"]
    monkeypatch.setattr(module, "_key", lambda: "other code")
    catalogue("vit_ti16")
    assert counted == ["vit_ti16", "vit_s16", "vit_ti16"]


@pytest.mark.parametrize(
    "content",
    ["{}", '{"key": 1, "counts": 2}', '{"key": "code", "counts": 2}', '{"key": "code", "counts": {"vit_ti16": {}}}'],
)
def test_a_damaged_cache_is_counted_anew(
    content: str, counted: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_key", lambda: "code")
    cache.parent.mkdir()
    cache.write_text(content, encoding="utf-8")
    assert catalogue("vit_ti16")[0]["multiply_adds"] == 25_557_032


def test_a_cache_that_cannot_be_written_is_no_error(counted: list[str], cache: Path) -> None:
    cache.parent.write_text("a file where the folder belongs", encoding="utf-8")
    assert catalogue("vit_ti16")[0]["parameters"] == 1


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1 k"), (41194, "41.19 k"), (25557032, "25.56 M"), (4089184256, "4.089 G")],
)
def test_amounts(number: int, text: str) -> None:
    assert amount(number) == text
