"""The text of the package is plain English: some unclear phrases do not occur, and pages are wrapped."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = [ROOT / "errors.py", *(p for room in ("cli", "export", "runtime") for p in sorted((ROOT / room).rglob("*.py")))]

# Phrases with a plainer alternative: "contains", "PyTorch's error", "happens to", "passes", "means", "compared with",
# "is not a fault", "verify with", "is not a".
UNCLEAR = re.compile(
    r"the bundle holds|PyTorch's own error|\bbefall|\bhand(?:s|ed)? in\b|\bstands? for\b|\bheld to\b|\bis nobody's\b"
    r"|\bprove it with\b|(?<![Tt]here )\b(?:is|are) no (?!longer)"
)
COLUMNS = 100
GENERATED = ("coverage.md",)  # a program writes it


def texts(path: Path) -> Iterator[str]:
    """Yield a page, or the docstrings and other strings of a Python file, each with single spaces."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield " ".join(source.split())
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield " ".join(node.value.split())


def test_unclear_phrases_do_not_occur() -> None:
    hits = [
        f"{path.relative_to(ROOT)}: {text[max(0, match.start() - 40) : match.end() + 40]}"
        for path in [*PAGES, *CODE]
        if path.name not in GENERATED
        for text in texts(path)
        for match in UNCLEAR.finditer(text)
    ]
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize("page", [p for p in PAGES[1:] if p.name not in GENERATED], ids=lambda p: p.name)
def test_prose_is_wrapped(page: Path) -> None:
    """Code, tables and lines with a link may be longer."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    long = [
        line
        for line in prose.splitlines()
        if len(re.sub("`[^`]*`", "", line)) > COLUMNS and not line.startswith(("|", "    ")) and "](" not in line
    ]
    assert not long, "\n".join(long)
