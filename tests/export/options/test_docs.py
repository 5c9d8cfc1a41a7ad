"""The table of docs/options.md is the one that the options generate. Run this file to write it again."""

from __future__ import annotations

from pathlib import Path

from attnexport.export.option_table import markdown

PAGE = Path(__file__).resolve().parents[3] / "docs" / "options.md"
START = "\n| command line |"


def test_the_table_of_options_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text[text.index(START) + 1 :].rstrip("\n") == markdown()


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    head = text[: text.index(START)] if START in text else text.rstrip("\n") + "\n"
    PAGE.write_text(f"{head}\n{markdown()}\n", encoding="utf-8")
