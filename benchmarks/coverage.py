"""Third-party architectures through the export, each in a process of its own; the table in docs/coverage.md.

python -m attnexport.benchmarks.coverage                  all whose package is installed; what is there already is measured again
python -m attnexport.benchmarks.coverage --only timm/     those whose key holds this text
python -m attnexport.benchmarks.coverage --page           write docs/coverage.md from benchmarks/coverage.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from attnexport.benchmarks.coverage_case import Case
from attnexport.benchmarks.coverage_cases import cases
from attnexport.benchmarks.coverage_measure import Row, command, measure, to_json
from attnexport.benchmarks.coverage_page import page

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "coverage.json"
PAGE = HERE.parent / "docs" / "coverage.md"
SECONDS = 400


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="text that the key holds; repeatable")
    parser.add_argument("--missing", action="store_true", help="only what has no figures yet, or did not pass")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--json", type=Path, default=FIGURES)
    parser.add_argument("--case", help="measure one here and print its row")
    options = parser.parse_args()
    table = {case.key: case for case in cases()}
    if options.case:
        sys.stdout.write(json.dumps(to_json(measure(table[options.case]))) + "\n")
        return
    rows = read(options.json)
    if not options.page:
        for case in in_turns(list(table.values())):
            known = rows.get(case.key)
            wanted = any(text in case.key for text in options.only) or not options.only
            if wanted and installed(case.package) and not (options.missing and known is not None and known.passed):
                rows[case.key] = apart(case)
                sys.stderr.write(f"{case.key}: {rows[case.key].failed or 'passed'} {rows[case.key].reason[:400]}\n")
                write(rows, table, options.json)
    write(rows, table, options.json)
    if options.json == FIGURES:
        kept = read(FIGURES)
        PAGE.write_text(page(list(kept.values()), [key for key in table if key not in kept]), encoding="utf-8")


def in_turns(table: list[Case]) -> list[Case]:
    """One of each package, then another of each: what is stopped halfway has seen all packages."""
    seen: Counter[str] = Counter()
    places = []
    for case in table:
        places.append(seen[case.package])
        seen[case.package] += 1
    return [case for _, case in sorted(zip(places, table, strict=True), key=lambda pair: pair[0])]


def installed(package: str) -> bool:
    """Whether a package is here to be measured."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def apart(case: Case) -> Row:
    """Measured in a process of its own, so that neither its memory nor what its package does to torch outlives it."""
    words = [sys.executable, "-m", "attnexport.benchmarks.coverage", "--case", case.key]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return Row(case.package, case.name, command(case), failed="time", reason=f"not done after {SECONDS} s")
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Row(case.package, case.name, command(case), failed="process", reason=said[:300])
    return Row(**json.loads(lines[-1]))


def read(path: Path) -> dict[str, Row]:
    """The rows of a file by key; none where it is not there."""
    if not path.exists():
        return {}
    return {f"{row['package']}/{row['name']}": Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))}


def write(rows: dict[str, Row], table: dict[str, Case], path: Path) -> None:
    """One row a line, in the table's order; what the table no longer has is dropped."""
    kept = [replace(rows[key], command=command(case)) for key, case in table.items() if key in rows]
    lines = [json.dumps(to_json(row)) for row in kept]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
