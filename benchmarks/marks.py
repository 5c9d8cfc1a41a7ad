"""A generated table in a page that people write: put between two marks; the rest of the page is left as it is."""

from __future__ import annotations

from pathlib import Path


def put(page: Path, text: str, begin: str, end: str) -> None:
    """Replace what stands between the marks. Raises ValueError where the page has not both."""
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} has not the marks {begin} and {end}: put them where the table belongs")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
