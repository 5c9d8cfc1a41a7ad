"""Peak memory of one contender, and whether it runs at all: measured in a process that does nothing else."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass

from ...runtime.bundle.bench_report import MemoryUse
from .contenders import Feeds
from .measured_model import MeasuredModel


@dataclass(frozen=True)
class MemoryJob:
    """What the process is to run."""

    model: MeasuredModel
    device: str
    threads: int
    contender: str
    points: tuple[Feeds, ...]


@dataclass(frozen=True)
class Alone:
    """The memory of each point up to where the contender failed, and how it did; empty where it did not."""

    memories: tuple[MemoryUse, ...]
    failure: str


def run_alone(job: MemoryJob) -> Alone:
    """Run a contender in a process of its own, point by point."""
    folder = job.model.folder
    given, result = folder / f"{job.contender}.job", folder / f"{job.contender}.jsonl"
    given.write_bytes(pickle.dumps(job))
    command = [sys.executable, "-m", "attnexport.export.bench.child", str(given), str(result)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in result.read_text(encoding="utf-8").splitlines()] if result.exists() else []
    memories = tuple(MemoryUse(**line) for line in lines if "error" not in line)
    failure = next((line["error"] for line in lines if "error" in line), "")
    if done.returncode and not failure:
        last = next(iter(reversed(done.stderr.strip().splitlines())), "no message")
        failure = f"it ends its process ({_ending(done.returncode)}): {last[:200]}"
    return Alone(memories, failure)


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"
