"""What the knobs of ``attnexport serve`` do to throughput, waiting and memory on one machine: the table of docs/scale.md.

    python benchmarks/scale.py examples/digits_sasa.pt … [--rounds 15] [--clients 1 8 32] [--json FILE] [--table docs/scale.md]

One server per setting, all running, loaded in turns by clients in another process, so that a disturbance hits all alike. The ratio is of
requests per second to those of the first setting, over all rounds, with a bootstrap interval over the rounds (95 %). Memory is what the
server's processes hold of their own (proportional set size). A request is one image over HTTP.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from attnexport.benchmarks.marks import put
from attnexport.benchmarks.serving import HERE, Running, as_bundle, one_row, served

SETTINGS = {
    "as it comes": (),
    "`--threads 1`": ("--threads", "1"),
    "`--instances 2`": ("--instances", "2"),
    "`--delay 2000`": ("--delay", "2000"),
    "`--max-queue 64`": ("--max-queue", "64"),
}
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True)
class Row:
    """One setting under some clients: requests per second, their ratio to the first setting's with its interval, p50 and p99 in ms,
    rows per run, and the server's memory in MB."""

    model: str
    clients: int
    setting: str
    rate: float
    ratio: float
    interval: tuple[float, float]
    p50: float
    p99: float
    batch: float
    memory: float

    def describe(self) -> str:
        """A row of the page's table."""
        low, high = self.interval
        return (
            f"| `{self.model}` | {self.clients} | {self.setting} | {self.rate:.0f} | {self.ratio:.2f} [{low:.2f}, {high:.2f}] "
            f"| {self.p50:.1f} / {self.p99:.1f} | {self.batch:.1f} | {self.memory:.0f} |"
        )


def compare(
    running: dict[str, Running], model: str, clients: int, rounds: int, seconds: float, feeds: Path
) -> list[Row]:
    """Load every setting in turns."""
    before = {setting: one.counts() for setting, one in running.items()}
    servers = [f"{one.model}@{one.urls['http']}" for one in running.values()]
    command = [str(HERE / "serving_client.py"), "http", str(clients), str(seconds), str(rounds), str(feeds), *servers]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    counts = np.array([[(one["requests"], one["seconds"]) for one in turn] for turn in found])
    draws = np.random.default_rng(0).integers(0, len(found), (1000, len(found)))
    drawn = counts[draws].sum(1)
    rates = drawn[..., 0] / drawn[..., 1]
    total = counts.sum(0)
    rows = []
    for i, (setting, one) in enumerate(running.items()):
        waits = np.concatenate([turn[i]["latencies"] for turn in found])
        low, high = np.percentile(rates[:, i] / rates[:, 0], (2.5, 97.5))
        answered, runs = (now - then for now, then in zip(one.counts(), before[setting], strict=True))
        rate, first = (float(total[j, 0] / total[j, 1]) for j in (i, 0))
        p50, p99 = (float(value) for value in np.percentile(waits, (50, 99)))
        interval = (float(low), float(high))
        rows.append(
            Row(model, clients, setting, rate, rate / first, interval, p50, p99, answered / runs, one.memory() / 1e6)
        )
    return rows


def measure(bundle: Path, folder: Path, clients: list[int], rounds: int, seconds: float) -> list[Row]:
    """All settings at every number of clients."""
    feeds = one_row(bundle, folder)
    with ExitStack() as stack:
        running = {name: stack.enter_context(served(bundle, list(words))) for name, words in SETTINGS.items()}
        return [row for n in clients for row in compare(running, bundle.stem, n, rounds, seconds, feeds)]


def table(rows: list[Row]) -> str:
    """The page's table."""
    head = "| model | clients | setting | requests/s | ratio | p50 / p99 ms | executed batch | memory MB |"
    return "\n".join((head, "|---|---|---|---|---|---|---|---|", *(row.describe() for row in rows)))


def main() -> None:
    """Export each model (or take a bundle), measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="model files, or bundles")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one turn of the clients")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path, help="the page whose table is written anew")
    given = parser.parse_args()
    rows: list[Row] = []
    for model in given.models:
        with TemporaryDirectory() as name:
            rows += measure(as_bundle(model, Path(name)), Path(name), given.clients, given.rounds, given.seconds)
    print(table(rows))
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if given.table is not None:
        put(given.table, table(rows), BEGIN, END)


if __name__ == "__main__":
    main()
