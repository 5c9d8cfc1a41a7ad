"""``attnexport serve`` beside a bare Triton Python model with the same ONNX Runtime session, at 1, 8 and 32 clients.

    python benchmarks/serving.py examples/digits_stn_cbam.pt … [--rounds 5] [--seconds 4] [--json FILE] [--table docs/serving.md]

The bars: at least 0.8 of the bare model's throughput at every number of clients, and a mean executed batch above 4 at 32. Both
servers run, by the same tritonserver and with the same batching (the configuration that ``serve`` emits); clients are in another process
and load one server at a time, in turns, so that a disturbance hits both alike. A request is one image.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
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
from marks import put

import attnexport
from attnexport.runtime.bundle import Bundle
from attnexport.runtime.feeds import random_feeds
from attnexport.runtime.serve.child import Child
from attnexport.runtime.serve.endpoints import Endpoints, find_endpoints
from attnexport.runtime.serve.options import ServeOptions
from attnexport.runtime.serve.program import find_triton
from attnexport.runtime.triton.options import RepositoryOptions
from attnexport.runtime.triton.repository import write_repository

CLIENTS = (1, 8, 32)
SHARE, BATCH = 0.8, 4.0
HERE = Path(__file__).parent
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True)
class Row:
    """One model, protocol and number of clients: medians over the rounds, of ours and of the bare model."""

    model: str
    protocol: str
    clients: int
    ours: float
    bare: float
    ratio: float
    ratios: list[float]
    p99: float
    bare_p99: float
    batch: float
    bare_batch: float

    @property
    def held(self) -> bool:
        """Whether the bars are held."""
        return self.ratio >= SHARE and (self.clients < 32 or self.batch > BATCH)

    def describe(self) -> str:
        """A row of the page's table."""
        low, high = min(self.ratios), max(self.ratios)
        return (
            f"| `{self.model}` | {self.protocol} | {self.clients} | {self.ours:.0f} | {self.bare:.0f} "
            f"| {self.ratio:.2f} [{low:.2f}, {high:.2f}] "
            f"| {self.p99:.1f} / {self.bare_p99:.1f} | {self.batch:.1f} / {self.bare_batch:.1f} |"
        )


class Running:
    """A server that answers."""

    def __init__(self, endpoints: Endpoints, model: str) -> None:
        self.urls = {"http": f"{endpoints.local}:{endpoints.http}", "grpc": f"{endpoints.local}:{endpoints.grpc}"}
        self.model = model

    def load(self, protocol: str, clients: int, seconds: float, feeds: Path) -> dict[str, float]:
        """One run of the clients, with the mean executed batch meanwhile."""
        before = self._counts()
        done = subprocess.run(
            [
                sys.executable, str(HERE / "serving_client.py"), protocol, self.urls[protocol], self.model, str(clients),
                str(seconds), str(feeds),
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        rows, runs = (after - there for after, there in zip(self._counts(), before, strict=True))
        found: dict[str, float] = json.loads(done.stdout)
        return {**found, "rate": found["requests"] / found["seconds"], "batch": rows / runs}

    def _counts(self) -> tuple[int, int]:
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
                if event["event"] == "ready":
                    break
            else:
                raise SystemExit("the server did not become ready")
            port = {name: int(event[name].split(":")[-1].split("/")[0]) for name in ("http", "grpc", "metrics")}
            yield Running(Endpoints("127.0.0.1", port["http"], port["grpc"], port["metrics"]), bundle.stem)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def bare(bundle: Path, models: RepositoryOptions, folder: Path) -> Iterator[Running]:
    """The bare model under the configuration that ``serve`` emits, by the same tritonserver."""
    (written,) = write_repository([bundle], folder / "repository", models)
    version = written.folder / str(written.version)
    shutil.copy(HERE / "serving_bare_model.py", version / "model.py")
    shutil.copy(Bundle.open(bundle).file("model.onnx"), version / "model.onnx")
    endpoints = find_endpoints(ServeOptions((bundle,), http_port=0, grpc_port=0, metrics_port=0))
    triton = find_triton(None, lambda *_, **__: None)
    command = [
        str(triton.program), f"--model-repository={folder / 'repository'}", f"--backend-directory={triton.backends}",
        f"--http-address={endpoints.address}", f"--http-port={endpoints.http}", f"--grpc-address={endpoints.address}",
        f"--grpc-port={endpoints.grpc}", f"--metrics-port={endpoints.metrics}", "--allow-gpu-metrics=false",
    ]  # fmt: skip
    child = Child(command, triton.environment(folder), folder, lambda *_, **__: None)
    try:
        running = Running(endpoints, written.name)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://{running.urls['http']}/v2/health/ready")
                break
            except OSError:
                time.sleep(0.1)
        yield running
    finally:
        child.kill()


def measure(bundle: Path, folder: Path, protocols: list[str], rounds: int, seconds: float, delay: int) -> list[Row]:
    """All numbers of clients over both servers."""
    feeds = folder / "feeds.npz"
    arrays: Any = {name: array[:1] for name, array in random_feeds(Bundle.open(bundle).manifest.inputs, "min").items()}
    np.savez(feeds, **arrays)
    rows = []
    with ExitStack() as stack:
        contenders = {
            "ours": stack.enter_context(served(bundle, ["--delay", str(delay)])),
            "bare": stack.enter_context(bare(bundle, RepositoryOptions(delay=delay), folder)),
        }
        for protocol in protocols:
            for clients in CLIENTS:
                found: dict[str, list[dict[str, float]]] = {"ours": [], "bare": []}
                for running in contenders.values():
                    running.load(protocol, clients, 0.5, feeds)
                for turn in range(rounds):
                    for name in ("ours", "bare") if turn % 2 else ("bare", "ours"):
                        found[name].append(contenders[name].load(protocol, clients, seconds, feeds))
                middle = {
                    (name, figure): statistics.median(one[figure] for one in runs)
                    for name, runs in found.items()
                    for figure in ("rate", "p99", "batch")
                }
                ratios = [a["rate"] / b["rate"] for a, b in zip(found["ours"], found["bare"], strict=True)]
                rows.append(
                    Row(
                        bundle.stem, protocol, clients, middle["ours", "rate"], middle["bare", "rate"],
                        statistics.median(ratios), [round(ratio, 3) for ratio in ratios], middle["ours", "p99"],
                        middle["bare", "p99"], middle["ours", "batch"], middle["bare", "batch"],
                    )
                )  # fmt: skip
                print(rows[-1].describe(), flush=True)
    return rows


def table(rows: list[Row]) -> str:
    """The page's table."""
    head = "| model | protocol | clients | requests/s | bare | ratio | p99 ms / bare | executed batch / bare |"
    return "\n".join((head, "|---|---|---|---|---|---|---|---|", *(row.describe() for row in rows)))


def main() -> None:
    """Export each model (or take a bundle), measure, print, and fail where a bar is not held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, help="model files, or bundles")
    parser.add_argument("--protocol", choices=("http", "grpc"), action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one run of the clients")
    parser.add_argument("--delay", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path, help="the page whose table is written anew")
    given = parser.parse_args()
    rows: list[Row] = []
    for model in given.models:
        with TemporaryDirectory() as name:
            bundle, folder = model.absolute(), Path(name)
            if model.suffix != ".attn":
                bundle = attnexport.export(model, out=folder / f"{model.stem}.attn", precision="fp32").path
            rows += measure(
                bundle, folder, given.protocol or ["http", "grpc"], given.rounds, given.seconds, given.delay
            )
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(row) | {"held": row.held} for row in rows], indent=1) + "\n")
    if given.table is not None:
        put(given.table, table(rows), BEGIN, END)
    sys.exit(0 if all(row.held for row in rows) else 1)


if __name__ == "__main__":
    main()
