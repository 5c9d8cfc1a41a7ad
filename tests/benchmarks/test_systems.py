"""The table of systems: rows from given figures, every network in one, and the page that holds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attnexport.benchmarks.marks import put
from attnexport.benchmarks.systems import OVERVIEW, PAGES, ROWS, keep, kept, main, write
from attnexport.benchmarks.systems_table import BEGIN, END, page_table, table
from attnexport.models import registry


def figures(name: str, **changed: Any) -> dict[str, Any]:
    given = {
        "name": name,
        "parameters": 25_557_032,
        "rewritten": {"GridSample": 2, "AffineGrid": 1},
        "fp32_ratio": 1.004,
        "fp16_ratio": 0.256,
        "top1": 0.9375,
        "fp32_engine_s": 1.26,
        "fp16_engine_s": 0.84,
        "times_faster": 3.14159,
    }
    return given | changed


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "| `" in line]


def test_a_row_says_what_was_measured() -> None:
    (row,) = rows(table([figures("stn_affine")]))
    assert row == [
        "stn", "`stn_affine`", "25.56 M", "2 GridSample; 1 AffineGrid", "1.00", "0.26", "94%", "1.3 s, 0.8 s", "3.14",
    ]  # fmt: skip


def test_what_there_is_not_is_said() -> None:
    given = figures("transformer_base", top1=None, rewritten={}, times_faster="OnnxError: no translation")
    (row,) = rows(table([given]))
    assert (row[3], row[6], row[8]) == ("none", "-", "plain fails: OnnxError: no translation")


def test_rewrites_of_one_kind_are_counted_together() -> None:
    layers = {"LocalAttention 7x7, 2 heads of 1, stride 2": 1, "LocalAttention 7x7, 2 heads of 1": 3, "GridSample": 1}
    (row,) = rows(table([figures("lrnet50", rewritten=layers)]))
    assert row[3] == "4 LocalAttention 7x7; 1 GridSample"


def test_every_network_has_a_row_in_the_order_of_families() -> None:
    found = rows(table([figures(name) for name in reversed(registry.names())]))
    assert sorted(row[1].strip("`") for row in found) == list(registry.names())
    assert list(dict.fromkeys(row[0] for row in found)) == list(registry.families())


def test_what_was_not_measured_is_named() -> None:
    names = registry.names()
    assert "Not measured" not in table([figures(name) for name in names])
    assert table([figures(name) for name in names[2:]]).endswith(f"\n\nNot measured yet: `{names[0]}`, `{names[1]}`.")


def test_a_page_has_the_networks_that_its_first_paragraph_names() -> None:
    page = "# Title\n\nSomebody, 2020 · `models/stn.py` · `stn_tps`, `stn_affine`\n(`stn`)\n\nNot so: `vit_b16`.\n"
    text = page_table([figures("stn_affine"), figures("stn_tps", top1=0.5), figures("vit_b16")], page)
    assert text is not None
    assert [row[:2] + row[5:6] for row in rows(text)] == [
        ["`stn_tps`", "25.56 M", "50%"],
        ["`stn_affine`", "25.56 M", "94%"],
    ]
    text = page_table([figures("stn_affine")], page)
    assert text is not None
    assert text.endswith("\n\nNot measured yet: `stn_tps`.")
    assert page_table([figures("vit_b16")], page.replace("`stn_", "`")) is None


def test_every_network_is_measured_and_inside_its_gates() -> None:
    found = kept(ROWS)
    assert sorted(row["name"] for row in found) == list(registry.names())
    assert max(max(row["fp32_ratio"], row["fp16_ratio"]) for row in found) <= 2
    assert min(row["top1"] for row in found if row["top1"] is not None) >= 0.99


def test_the_pages_have_the_networks_as_they_were_measured(tmp_path: Path) -> None:
    for page in PAGES.glob("*.md"):
        (tmp_path / page.name).write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    write(kept(ROWS), tmp_path)
    shown = set()
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert (tmp_path / page.name).read_text(encoding="utf-8") == text, (
            f"{page.name}: run benchmarks/systems.py --table"
        )
        if page.name != OVERVIEW:
            shown |= {row[0].strip("`") for row in rows(text.partition(BEGIN)[2])}
    plain = {"resnet18", "resnet34", "resnet50", "resnet101"}
    assert shown == set(registry.names()) - plain


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "there are no rows: measure first"),
        ([figures("stn_gone")], "'stn_gone' is not in the registry"),
    ],
)
def test_rows_that_make_no_table_are_refused(given: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        table(given)


def test_only_what_stands_between_the_marks_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    put(page, "new", BEGIN, END)
    put(page, "newer", BEGIN, END)
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\nnewer\n{END}\nafter\n"
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="has not the marks"):
        put(page, "new", BEGIN, END)


def test_a_row_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "build" / "systems.json"
    assert kept(path) == []
    for row in (figures("stn_tps", top1=0.5), figures("stn_affine"), figures("stn_tps")):
        keep(row, path)
    assert json.loads(path.read_text(encoding="utf-8")) == kept(path)
    assert [(row["name"], row["top1"]) for row in kept(path)] == [("stn_tps", 0.9375), ("stn_affine", 0.9375)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--names", "stn_affine", "stn_gone"], "no network is named 'stn_gone'; `attnexport models` lists them"),
        (["--names"], "argument --names: expected at least one argument"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--json", str(tmp_path / "rows.json"), *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
