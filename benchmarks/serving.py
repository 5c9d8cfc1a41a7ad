"""``attnexport serve`` beside a bare Triton Python model with the same ONNX Runtime session, at 1, 8 and 32 clients.

    python benchmarks/serving.py examples/digits_stn_cbam.pt … [--rounds 30] [--seconds 0.5] [--json FILE] [--table docs/benchmarks.md]

The bars: at least 0.8 of the bare model's throughput at every number of clients, and a mean executed batch above 4 at 32. Both
servers run, by the same tritonserver and with the same batching (the configuration that ``serve`` emits); clients are in another process
and load one server at a time, in short turns, so that a disturbance hits both alike. The ratio is of all requests per second of
all turns, with a bootstrap interval over the rounds (95 %). A request is one image.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import attnexport
from attnexport.benchmarks.marks import put
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.inputs.feeds import random_feeds
from attnexport.runtime.serve.child import Child
from attnexport.runtime.serve.options import Endpoints, ServeOptions, find_endpoints
from attnexport.runtime.serve.program import find_triton
from attnexport.runtime.triton.options import RepositoryOptions
from attnexport.runtime.triton.repository import write_repository

CLIENTS = (1, 8, 32)
SHARE, BATCH = 0.8, 4.0
HERE = Path(__file__).parent
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True)
class Row:
    """One model, protocol and number of clients: requests per second, their ratio with its interval, p99 in ms, mean executed batch, and
    the server's processor time in seconds per request."""

    model: str
    protocol: str
    clients: int
    ours: float
    bare: float
    ratio: float
    interval: tuple[float, float]
    p99: float
    bare_p99: float
    batch: float
    bare_batch: float
    cpu: float
    bare_cpu: float

    @property
    def held(self) -> bool:
        """Whether the bars are held."""
        return self.ratio >= SHARE and (self.clients < 32 or self.batch > BATCH)

    def describe(self) -> str:
        """A row of the page's table."""
        low, high = self.interval
        return (
            f"| `{self.model}` | {self.protocol} | {self.clients} | {self.ours:.0f} | {self.bare:.0f} "
            f"| {self.ratio:.2f} [{low:.2f}, {high:.2f}] "
            f"| {self.p99:.1f} / {self.bare_p99:.1f} | {self.batch:.1f} / {self.bare_batch:.1f} "
            f"| {1e6 * self.cpu:.0f} / {1e6 * self.bare_cpu:.0f} |"
        )


class Running:
    """A server that answers: Triton's process, with those of its models."""

    def __init__(self, endpoints: Endpoints, model: str, pid: int) -> None:
        self.urls = {"http": f"{endpoints.local}:{endpoints.http}", "grpc": f"{endpoints.local}:{endpoints.grpc}"}
        self.model = model
        self._pid = pid

    def cpu(self) -> float:
        """Seconds of processor time that it has taken."""
        ticks = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for pid in self._pids()]
        return sum(int(one) for pair in ticks for one in pair) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes that it holds; what several processes share counts once among them."""
        rolled = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self._pids()]
        return sum(
            1024 * int(line.split()[1]) for text in rolled for line in text.splitlines() if line.startswith("Pss:")
        )

    def _pids(self) -> set[int]:
        pids = {self._pid}
        for thread in Path(f"/proc/{self._pid}/task").glob("*/children"):
            pids |= set(map(int, thread.read_text().split()))
        return pids

    def counts(self) -> tuple[int, int]:
        """Rows that it has answered, and in how many runs."""
        with urllib.request.urlopen(f"http://{self.urls['http']}/v2/models/{self.model}/stats") as answer:
            stats = json.load(answer)["model_stats"][0]
        return stats["inference_count"], stats["execution_count"]


@contextmanager
def served(bundle: Path, options: list[str]) -> Iterator[Running]:
    """``attnexport serve`` as a user starts it."""
    ports = [word for name in ("http", "grpc", "metrics") for word in (f"--{name}-port", "0")]
    command = [sys.executable, "-m", "attnexport", "serve", str(bundle), *ports, "--log-format", "json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "starting":
                    pid = event["pid"]
                if event["event"] == "ready":
                    break
            else:
                raise SystemExit("the server did not become ready")
            port = {name: int(event[name].split(":")[-1].split("/")[0]) for name in ("http", "grpc", "metrics")}
            yield Running(Endpoints("127.0.0.1", port["http"], port["grpc"], port["metrics"]), bundle.stem, pid)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def bare(bundle: Path, models: RepositoryOptions, folder: Path) -> Iterator[Running]:
    """The bare model under the configuration that ``serve`` emits, by the same tritonserver."""
    (written,) = write_repository([bundle], folder / "repository", models)
    version = written.folder / str(written.version)
    shutil.copy(HERE / "serving_bare_model.py", version / "model.py")
    shutil.copy(StoredBundle.open(bundle).file("model.onnx"), version / "model.onnx")
    endpoints = find_endpoints(ServeOptions((bundle,), http_port=0, grpc_port=0, metrics_port=0))
    triton = find_triton(None, lambda *_, **__: None)
    command = [
        str(triton.program), f"--model-repository={folder / 'repository'}", f"--backend-directory={triton.backends}",
        f"--http-address={endpoints.address}", f"--http-port={endpoints.http}", f"--grpc-address={endpoints.address}",
        f"--grpc-port={endpoints.grpc}", f"--metrics-port={endpoints.metrics}", "--allow-gpu-metrics=false",
    ]  # fmt: skip
    child = Child(command, triton.environment(folder), folder, lambda *_, **__: None)
    try:
        running = Running(endpoints, written.name, child.pid)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://{running.urls['http']}/v2/health/ready")
                break
            except OSError:
                time.sleep(0.1)
        yield running
    finally:
        child.drain()  # killed, it would leave its shared memory behind
        child.wait(30)
        child.kill()


def compare(
    contenders: dict[str, Running], protocol: str, clients: int, rounds: int, seconds: float, feeds: Path
) -> Row:
    """Load both in turns."""
    before = {name: (*one.counts(), one.cpu()) for name, one in contenders.items()}
    servers = [f"{one.model}@{one.urls[protocol]}" for one in contenders.values()]
    command = [str(HERE / "serving_client.py"), protocol, str(clients), str(seconds), str(rounds), str(feeds), *servers]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    rates = np.array([[(one["requests"], one["seconds"]) for one in turn] for turn in found])
    draws = np.random.default_rng(0).integers(0, len(found), (1000, len(found)))
    sums = rates[draws].sum(1)
    ratios = (sums[:, 0, 0] / sums[:, 0, 1]) / (sums[:, 1, 0] / sums[:, 1, 1])
    ours, bare_rate = (float(requests / taken) for requests, taken in rates.sum(0))
    p99 = [float(np.percentile(np.concatenate([turn[i]["latencies"] for turn in found]), 99)) for i in range(2)]
    batches, processor = [], []
    for name, one in contenders.items():
        old_rows, old_runs, old_cpu = before[name]
        rows, runs = one.counts()
        batches.append((rows - old_rows) / (runs - old_runs))
        processor.append((one.cpu() - old_cpu) / (rows - old_rows))
    low, high = np.percentile(ratios, (2.5, 97.5))
    model = contenders["ours"].model
    return Row(
        model,
        protocol,
        clients,
        ours,
        bare_rate,
        ours / bare_rate,
        (float(low), float(high)),
        *p99,
        *batches,
        *processor,
    )


def measure(
    bundle: Path, folder: Path, protocols: list[str], rounds: int, seconds: float, models: RepositoryOptions
) -> list[Row]:
    """All numbers of clients over both servers."""
    feeds = one_row(bundle, folder)
    rows = []
    options = ["--delay", str(models.delay), "--instances", str(models.instances)]
    options += ["--max-queue", str(models.max_queue)] if models.max_queue else []
    with ExitStack() as stack:
        contenders = {
            "ours": stack.enter_context(served(bundle, options)),
            "bare": stack.enter_context(bare(bundle, models, folder)),
        }
        for protocol in protocols:
            for clients in CLIENTS:
                rows.append(compare(contenders, protocol, clients, rounds, seconds, feeds))
                print(rows[-1].describe(), flush=True)
    return rows


def one_row(bundle: Path, folder: Path) -> Path:
    """A request of the clients as a file: the bundle's inputs with one row."""
    feeds = folder / "feeds.npz"
    arrays: Any = {
        name: array[:1] for name, array in random_feeds(StoredBundle.open(bundle).manifest.inputs, "min").items()
    }
    np.savez(feeds, **arrays)
    return feeds


def as_bundle(model: Path, folder: Path) -> Path:
    """A bundle as it is; a model file exported in FP32 into the folder."""
    if model.suffix == ".attn":
        return model.absolute()
    return attnexport.export(model, out=folder / f"{model.stem}.attn", precision="fp32").path


def table(rows: list[Row]) -> str:
    """The page's table."""
    head = "| model | protocol | clients | requests/s | bare | ratio | p99 ms / bare | executed batch / bare | server CPU us / bare |"
    return "\n".join((head, "|---|---|---|---|---|---|---|---|---|", *(row.describe() for row in rows)))


def main() -> None:
    """Export each model (or take a bundle), measure, print, and fail where a bar is not held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, help="model files, or bundles")
    parser.add_argument("--protocol", choices=("http", "grpc"), action="append")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one turn of the clients")
    parser.add_argument(
        "--delay", type=int, default=0, help="as of attnexport serve, like the next two; of both servers"
    )
    parser.add_argument("--instances", type=int, default=1)
    parser.add_argument("--max-queue", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path, help="the page whose table is written anew")
    given = parser.parse_args()
    models = RepositoryOptions(delay=given.delay, instances=given.instances, max_queue=given.max_queue)
    rows: list[Row] = []
    for model in given.models:
        with TemporaryDirectory() as name:
            bundle, folder = as_bundle(model, Path(name)), Path(name)
            rows += measure(bundle, folder, given.protocol or ["http", "grpc"], given.rounds, given.seconds, models)
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(row) | {"held": row.held} for row in rows], indent=1) + "\n")
    if given.table is not None:
        put(given.table, table(rows), BEGIN, END)
    sys.exit(0 if all(row.held for row in rows) else 1)


if __name__ == "__main__":
    main()
