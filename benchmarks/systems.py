"""Every named network, whole, through the whole pipeline, and the table of docs/systems/README.md.

``python benchmarks/systems.py [--names NAME …]`` measures all networks or those that are named, keeps each row in
benchmarks/systems.json and writes the table; ``--table`` writes it from the rows that are there, as ``make sweep`` does after its
tests, which keep the same rows. The last column is a ratio, which compares between days; the seconds of the engines do not.
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
from attnexport.benchmarks.systems_table import BEGIN, END, table
from attnexport.models import registry

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "systems" / "README.md"
ROWS = ROOT / "benchmarks" / "systems.json"


def kept(path: Path) -> list[dict[str, Any]]:
    """The rows that a file holds; none where there is no file."""
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return rows


def keep(row: Mapping[str, Any], path: Path) -> None:
    """Put a row into the file, in the place of an older one of the same network."""
    rows = [old for old in kept(path) if old["name"] != row["name"]]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([*rows, dict(row)], indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure what is asked for, keep each row, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--table", action="store_true", help="write the table only")
    parser.add_argument("--json", type=Path, default=ROWS, help="the rows")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--names", nargs="*", metavar="NAME", help="these networks only")
    chosen = parser.parse_args()
    console = Console()
    for name in () if chosen.table else chosen.names or registry.names():
        with tempfile.TemporaryDirectory() as folder:
            row = measure(name, Path(folder))
        keep(row, chosen.json)
        console.print(row, soft_wrap=True)
    put(chosen.page, table(kept(chosen.json)), BEGIN, END)


if __name__ == "__main__":
    main()
