"""Every named network, whole, through the whole pipeline, and the tables of docs/systems.

``python benchmarks/systems.py [--names NAME …]`` measures all networks or those that are named, keeps each row in
benchmarks/systems.json and writes the tables, README.md's and that of each mechanism's page; ``--table`` writes them from the rows
that are there, as ``make sweep`` does after its tests, which keep the same rows. The last column is a ratio, which compares between
days; the seconds of the engines do not.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from attnexport.benchmarks.marks import put
from attnexport.benchmarks.systems_measure import measure
from attnexport.benchmarks.systems_table import BEGIN, END, page_table, table
from attnexport.models import registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "systems"
OVERVIEW = "README.md"
ROWS = ROOT / "benchmarks" / "systems.json"


def kept(path: Path) -> list[dict[str, Any]]:
    """The rows that a file holds; none where there is no file."""
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return rows


def keep(row: Mapping[str, Any], path: Path) -> None:
    """Put a row into the file, in the place of an older one of the same network."""
    rows = {old["name"]: old for old in kept(path)} | {row["name"]: dict(row)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(rows.values()), indent=1) + "\n", encoding="utf-8")


def write(rows: list[dict[str, Any]], pages: Path) -> None:
    """Put the tables into the pages, each from the rows of its networks."""
    put(pages / OVERVIEW, table(rows), BEGIN, END)
    for page in sorted(pages.glob("*.md")):
        if page.name != OVERVIEW and (text := page_table(rows, page.read_text(encoding="utf-8"))) is not None:
            put(page, text, BEGIN, END)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, keep each row, write the tables. Exits with 2 for a name that the registry does not know."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--table", action="store_true", help="write the tables only")
    parser.add_argument("--json", type=Path, default=ROWS, help="the rows")
    parser.add_argument("--pages", type=Path, default=PAGES, help="the folder of the pages")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="these networks only")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.names or () if name not in registry.names()]
    if unknown:
        parser.error(f"no network is named {', '.join(map(repr, unknown))}; `attnexport models` lists them")
    console = Console()
    for name in () if chosen.table else chosen.names or registry.names():
        with tempfile.TemporaryDirectory() as folder:
            row = measure(name, Path(folder))
        keep(row, chosen.json)
        console.print(row, soft_wrap=True)
    write(kept(chosen.json), chosen.pages)


if __name__ == "__main__":
    main()
