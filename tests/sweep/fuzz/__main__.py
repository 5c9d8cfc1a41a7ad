"""Fuzz the whole judge.

python -m sweep.fuzz                              20,000 graphs; those that build/fuzz.jsonl has are left out
python -m sweep.fuzz --onnx 500 --torch 0         fewer
python -m sweep.fuzz --again                      those once more that were findings
python -m sweep.fuzz --reduce onnx 81             the smallest graph with that seed's finding
python -m sweep.fuzz --table                      what the record says

Run it with tests/ on PYTHONPATH, as ``make fuzz`` does. The exit code is 1 if there are findings.
"""

from __future__ import annotations

import argparse
import sys
from itertools import chain
from pathlib import Path

from sweep.fuzz import record
from sweep.fuzz.workers import Job, examine_all

ONNX, TORCH = 18_500, 1_500


def jobs(onnx: int, torch: int, first: int) -> list[Job]:
    """Seeds of both kinds, mixed, so that a run that is stopped has some of each."""
    graphs = [((i + 0.5) / max(onnx, 1), ("onnx", first + i)) for i in range(onnx)]
    modules = [((i + 0.5) / max(torch, 1), ("torch", first + i)) for i in range(torch)]
    return [job for _, job in sorted(chain(graphs, modules))]


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(
        description="Random graphs through the whole pipeline, beside independent evaluations."
    )
    parser.add_argument("--onnx", type=int, default=ONNX, help="graphs")
    parser.add_argument("--torch", type=int, default=TORCH, help="modules")
    parser.add_argument("--first", type=int, default=0, help="the first seed of each")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--record", type=Path, default=Path("build/fuzz.jsonl"), help="a line for each graph")
    parser.add_argument("--again", action="store_true", help="only what was a finding")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--reduce", nargs=2, metavar=("KIND", "SEED"), help="reduce one finding, into build/fuzz")
    options = parser.parse_args()
    if options.reduce:
        from sweep.fuzz.reduce import reduce

        print(reduce(options.reduce[0], int(options.reduce[1]), Path("build/fuzz")))
        return 0
    known = record.read(options.record)
    wanted = jobs(options.onnx, options.torch, options.first)
    if options.again:
        wanted = [job for job, outcome in known.items() if record.is_finding(outcome)]
    elif not options.table:
        wanted = [job for job in wanted if job not in known]
    if not options.table:
        for n, outcome in enumerate(record.write(options.record, examine_all(wanted, options.workers)), 1):
            known[outcome.kind, outcome.seed] = outcome
            if record.is_finding(outcome):
                print(
                    f"{n} of {len(wanted)}: {outcome.kind} {outcome.seed} {outcome.verdict}: {outcome.text}", flush=True
                )
    print(record.table(known.values()))
    return int(any(map(record.is_finding, known.values())))


if __name__ == "__main__":
    sys.exit(main())
