"""The file of verdicts: a table of comma-separated values under a head of versions and explanations."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from attnexport.benchmarks.reference_sweep.explanations import EXPLANATIONS
from attnexport.benchmarks.reference_sweep.judge import LIMIT, Outcome, Verdict
from attnexport.benchmarks.reference_sweep.trial import Key

FILE = Path(__file__).resolve().parents[1] / "reference_sweep.csv"
COLUMNS = (*Key._fields, "verdict", "error", "explanation", "witness")
_PACKAGES = ("onnx", "onnxruntime-gpu", "onnxruntime", "numpy", "torch")
_HEAD = f"""Operators of the default ONNX domain: ONNX Runtime's CPU provider in FP32 against the FP64 reference of .onnx files.
`python -m attnexport.benchmarks.reference_sweep` writes this file; docs/benchmarks.md describes it.
inputs: dtype[shape]~values or dtype{{values}}; an asterisk marks an initializer, a minus an absent one; > outputs. test: onnx's node test.
error: largest difference over the output's rms and the type's epsilon; up to {LIMIT:g} is rounding. differs: another shape or integer.
witness: who else gives the reference's values: onnx's node test, or onnx's own evaluator, which is wrong for the rest."""


@dataclass(frozen=True)
class Row:
    """A line of the file."""

    key: Key
    outcome: Outcome


def write(rows: Iterable[Row], path: Path = FILE) -> None:
    """Sorted by key; cases that ONNX Runtime does not run are counted in the head, not listed."""
    every = sorted(rows, key=lambda row: row.key)
    listed = [row for row in every if row.outcome.verdict is not Verdict.ABSENT]
    counts = Counter(row.outcome.verdict.value for row in every)
    used = {row.outcome.note for row in listed if row.outcome.verdict is Verdict.EXPLAINED}
    head = _HEAD.splitlines()
    head += ["versions: " + ", ".join(f"{name} {number}" for name, number in _versions().items())]
    head += ["verdicts: " + ", ".join(f"{counts[verdict.value]} {verdict.value}" for verdict in Verdict)]
    head += [f"{explanation.name}: {explanation.text}" for explanation in EXPLANATIONS if explanation.name in used]
    text = io.StringIO()
    text.writelines(f"# {line}\n" for line in head)
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(
        (*row.key, row.outcome.verdict.value, row.outcome.error, row.outcome.note, row.outcome.witness)
        for row in listed
    )
    path.write_text(text.getvalue(), encoding="utf-8")


def read(path: Path = FILE) -> dict[Key, Outcome]:
    """The verdicts that are recorded."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("# ")]
    rows = csv.DictReader(lines)
    return {
        Key(row["operator"], int(row["opset"]), row["attributes"], row["inputs"], row["test"]): Outcome(
            Verdict(row["verdict"]), row["error"], row["explanation"], row["witness"]
        )
        for row in rows
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
