"""``--precision auto`` on the five networks of precision_nets.py, beside the rules alone and a plain conversion.

    python -m attnexport.benchmarks.precision_search --json benchmarks/precision_search.json [--doc docs/benchmarks.md] [NET ...]

Errors are max|err| / max|truth| under emulation, over 64 inputs that no search has seen. Each network is searched to
the tolerance of the table that it is held to, and with the default target of 1.5 times PyTorch's error. Nodes are
those that compute; data movement takes the type of its data.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto

from attnexport.benchmarks.marks import put
from attnexport.benchmarks.precision_nets import NETS, Lowered, net
from attnexport.export.precision import convert
from attnexport.export.precision.graph import GraphIndex, normalise
from attnexport.export.precision.operators import moves_data
from attnexport.export.precision.policy import Decision
from attnexport.export.progress import Silent
from attnexport.export.search import Aim, Evidence, SearchOutcome, build_inputs, search
from attnexport.runtime.inputs.feeds import random_feeds
from attnexport.runtime.sessions.emulated import open_emulated
from attnexport.runtime.spec import Axis, TensorSpec

INPUTS = 64
BEGIN, END = "<!-- precision_search.json -->", "<!-- end -->"


@dataclass(frozen=True)
class Bar:
    """A row of the table that a search is held to: its error, that of a plain conversion, the nodes in FP32, of how many.

    The nets here are no copies of that table's, so an error is reached where the plain one shrinks (in rms, which is
    what is searched on) by the same factor; without a ``plain`` that is finite, where it is below ``error`` itself.
    """

    error: float
    plain: float | None
    kept: int
    nodes: int


BARS = {
    "resnet18_se_cbam": Bar(4.0e-4, 1.2e-3, 22, 98),
    "vit_small": Bar(5.7e-4, 1.2e-3, 53, 148),
    "sasa_block": Bar(1.3e-4, 5.8e-4, 6, 23),
    "stn256": Bar(1e-4, None, 13, 39),
    "hazard": Bar(1.0e-3, None, 9, 41),
}


@dataclass(frozen=True)
class Row:
    """One search. ``error`` is None where it is not finite; ``ratio`` is the rms error as a multiple of PyTorch's own."""

    net: str
    how: str
    kept: int
    nodes: int
    casts: int
    error: float | None
    ratio: float | None = None
    verdict: str = ""
    evaluations: int = 0
    cpu_seconds: float = 0.0
    seconds: float = 0.0


def output_specs(lowered: Lowered) -> list[TensorSpec]:
    """The outputs, of one free batch."""
    found = lowered.original.run(random_feeds(lowered.inputs, "min"), "float32")
    batch = lowered.inputs[0].axes[0]
    return [TensorSpec(k, "float32", (batch, *map(Axis.fixed, v.shape[1:]))) for k, v in found.items()]


class Bench:
    """One network: its evidence, and 64 further inputs with their truth."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lowered = net(name)
        self.outputs = output_specs(self.lowered)
        index = GraphIndex(normalise(self.lowered.model))
        # Data movement takes the type of its data: nobody decides on it.
        self.nodes = sum(index.touches_single(node) and not moves_data(node) for node in index.nodes)
        drawn = build_inputs(self.lowered.inputs, self.outputs, None, 0)
        logits = self.outputs[0].name if NETS[name][2] == "classification" else None
        self.calibration = Evidence.of(self.lowered.original, drawn.calibration, logits)
        self.held_out = Evidence.of(self.lowered.original, drawn.held_out, logits)
        self.feeds = [random_feeds(self.lowered.inputs, "max", seed=9000 + i) for i in range(INPUTS // 16)]
        self.truth = [self.lowered.original.run(feed, "float64") for feed in self.feeds]

    def typed(self, keep: Collection[str]) -> ModelProto:
        """The FP16 model with these nodes in FP32."""
        return convert(self.lowered.model, decisions=[Decision(name, "search", "") for name in keep]).model

    def error(self, model: ModelProto) -> float | None:
        """max|err| / max|truth| under emulation; None where it is not finite."""
        session = open_emulated(model.SerializeToString())
        worst = largest = 0.0
        for feed, truth in zip(self.feeds, self.truth, strict=True):
            got: Mapping[str, np.ndarray] = session.run(feed)
            for name, true in truth.items():
                worst = max(worst, float(np.abs(got[name] - true).max()))
                largest = max(largest, float(np.abs(true).max()))
                if not np.isfinite(got[name]).all():
                    return None
        session.close()
        return worst / largest

    def plain(self, how: str, decisions: list[Decision] | None) -> Row:
        """A conversion without a search."""
        made = convert(self.lowered.model, decisions=decisions)
        return Row(self.name, how, len(made.decisions), self.nodes, made.counts.casts, self.error(made.model))

    def searched(self, how: str, aim: Aim) -> tuple[Row, SearchOutcome]:
        """A search from nothing: its cache is empty."""
        with tempfile.TemporaryDirectory() as folder:
            started, cpu = time.perf_counter(), time.process_time()
            found = search(
                self.lowered.model, self.typed, self.calibration, lambda: self.held_out, aim, Silent(), Path(folder)
            )
            taken, spent = time.perf_counter() - started, time.process_time() - cpu
        made = convert(self.lowered.model, decisions=found.decisions)
        report = found.report
        row = Row(
            self.name, how, len(made.decisions), self.nodes, made.counts.casts, self.error(made.model),
            report.error, report.verdict, report.evaluations, round(spent, 1), round(taken, 1),
        )  # fmt: skip
        return row, found


def measure(name: str) -> list[Row]:
    """All rows of one network; the tolerance of its bar is reached by aiming lower until the largest error is within."""
    bench = Bench(name)
    rows = [bench.plain("all FP16", []), bench.plain("rules", None)]
    auto, found = bench.searched("auto", Aim())
    rows.append(auto)
    bar = BARS[name]
    if bar.plain is not None and (auto.error is None or auto.error > bar.error):
        aim = Aim(target=found.report.before * bar.error / bar.plain, settle=False)
        rows.append(bench.searched("auto, to the bar", aim)[0])
    return rows


def table(rows: list[Row]) -> str:
    """The table of docs/benchmarks.md."""
    lines = [
        "| network | nodes in FP32 | casts | max error | rms / PyTorch's | verdict | evaluations | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        error = "not finite" if row.error is None else f"{row.error:.1e}"
        search_part = (
            f"{row.ratio:.2f} | {row.verdict} | {row.evaluations} | {row.cpu_seconds:.1f}"
            if row.verdict
            else "- | - | - | -"
        )
        lines.append(f"| {row.net}, {row.how} | {row.kept} of {row.nodes} | {row.casts} | {error} | {search_part} |")
    return "\n".join(lines)


def main() -> None:
    """Measure the networks that are named, or all five."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(NETS))
    parser.add_argument("--json", type=Path, help="keep the rows here; those of other networks stay")
    parser.add_argument("--doc", type=Path, help="write the table between the marks of this file")
    given = parser.parse_args()
    nets = given.nets or list(NETS)
    rows: list[Row] = []
    if given.json is not None and given.json.is_file():
        rows = [Row(**row) for row in json.loads(given.json.read_text()) if row["net"] not in nets]
    for name in nets:
        rows += measure(name)
        print(table([row for row in rows if row.net == name]), flush=True)
    rows.sort(key=lambda row: list(NETS).index(row.net))
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if given.doc is not None:
        put(given.doc, table(rows), BEGIN, END)


if __name__ == "__main__":
    main()
