"""Measure the memory of one contender in a separate process."""

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
    """The input of the process: one contender at several points."""

    model: MeasuredModel
    device: str
    threads: int
    contender: str
    points: tuple[Feeds, ...]


@dataclass(frozen=True)
class MemoryResult:
    """The memory at each point before a failure; ``failure`` is empty if there is none."""

    memories: tuple[MemoryUse, ...]
    failure: str


def run_alone(job: MemoryJob) -> MemoryResult:
    """Run a contender in a separate process at each point."""
    folder = job.model.folder
    input_file, result = folder / f"{job.contender}.job", folder / f"{job.contender}.jsonl"
    input_file.write_bytes(pickle.dumps(job))
    command = [sys.executable, "-m", "attnexport.export.bench.child", str(input_file), str(result)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in result.read_text(encoding="utf-8").splitlines()] if result.exists() else []
    memories = tuple(MemoryUse(**line) for line in lines if "error" not in line)
    failure = next((line["error"] for line in lines if "error" in line), "")
    if process.returncode and not failure:
        last = next(iter(reversed(process.stderr.strip().splitlines())), "no message")
        failure = f"the process ended ({_ending(process.returncode)}): {last[:200]}"
    return MemoryResult(memories, failure)


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"
