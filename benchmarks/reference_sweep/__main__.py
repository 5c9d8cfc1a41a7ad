"""Judge the FP64 reference of .onnx files, operator by operator, and write benchmarks/reference_sweep.csv.

python -m attnexport.benchmarks.reference_sweep                        every case, minutes on one core; writes the file
python -m attnexport.benchmarks.reference_sweep --operators Conv,Pad   these alone; prints what disagrees and writes nothing

The exit code is 1 when a case disagrees and no explanation holds.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

from attnexport.benchmarks.reference_sweep.families import generated
from attnexport.benchmarks.reference_sweep.judge import Verdict, judge
from attnexport.benchmarks.reference_sweep.node_tests import node_tests
from attnexport.benchmarks.reference_sweep.record import Row, write
from attnexport.benchmarks.reference_sweep.trial import Trial


def trials() -> Iterator[Trial]:
    """Generated cases, then onnx's node tests."""
    for case in generated():
        yield case.trial()
    yield from node_tests()


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(description="Judge the FP64 reference of .onnx files, operator by operator.")
    parser.add_argument("--operators", default="", help="comma-separated; print what disagrees, write nothing")
    chosen = {name for name in parser.parse_args().operators.split(",") if name}
    rows = [Row(trial.key, judge(trial)) for trial in trials() if not chosen or trial.key.operator in chosen]
    for row in rows:
        if row.outcome.verdict is Verdict.DISAGREE:
            print(*row.key, row.outcome.error, row.outcome.note, sep=" | ")
    counts = Counter(row.outcome.verdict.value for row in rows)
    print(", ".join(f"{counts[verdict.value]} {verdict.value}" for verdict in Verdict))
    if not chosen:
        write(rows)
    return int(counts[Verdict.DISAGREE.value] > 0)


if __name__ == "__main__":
    sys.exit(main())
