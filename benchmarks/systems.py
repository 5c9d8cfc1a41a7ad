"""Every named network through the whole pipeline, and the table of docs/systems/README.md.

``python benchmarks/systems.py [--reduced] [--json FILE] [--names NAME …]`` measures and writes the table;
``--table`` writes it from the rows that FILE holds, as ``make sweep`` does after its tests. ``--so-far`` keeps whole networks that
were measured by name in benchmarks/systems.json, and writes the page's second table, of as many as there are.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from attnexport.benchmarks.marks import put
from attnexport.benchmarks.systems_measure import measure
from attnexport.benchmarks.systems_table import BEGIN, END, subjects, table

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "systems" / "README.md"
ROWS = ROOT / "build" / "systems.json"
SO_FAR = ROOT / "benchmarks" / "systems.json"
SO_FAR_MARKS = "<!-- so far: written by benchmarks/systems.py --so-far -->", "<!-- end of so far -->"


def kept(path: Path) -> list[dict[str, Any]]:
    """The rows that a file holds; none where there is no file."""
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return rows


def keep(row: Mapping[str, Any], path: Path) -> None:
    """Put a row into the file, in the place of an older one of the same network."""
    same = (row["name"], row["reduced"])
    rows = [old for old in kept(path) if (old["name"], old["reduced"]) != same]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([*rows, dict(row)], indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure what is asked for, keep each row, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--reduced", action="store_true", help="the small networks of the tests")
    parser.add_argument("--table", action="store_true", help="write the table only")
    parser.add_argument("--so-far", action="store_true", help="keep and show whole networks measured one by one")
    parser.add_argument(
        "--json", type=Path, help="the rows; build/systems.json, or benchmarks/systems.json with --so-far"
    )
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--names", nargs="*")
    chosen = parser.parse_args()
    console = Console()
    file, marks = (SO_FAR, SO_FAR_MARKS) if chosen.so_far else (ROWS, (BEGIN, END))
    file = chosen.json or file
    for name in () if chosen.table else chosen.names or subjects(reduced_ones=chosen.reduced):
        with tempfile.TemporaryDirectory() as folder:
            row = measure(name, Path(folder), reduced=chosen.reduced)
        keep(row, file)
        console.print(row, soft_wrap=True)
    put(chosen.page, table(row for row in kept(file) if row["reduced"] is chosen.reduced), *marks)


if __name__ == "__main__":
    main()
