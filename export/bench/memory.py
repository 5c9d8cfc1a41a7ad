"""Peak memory of one contender, and whether it runs at all: measured in a process that does nothing else."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass

from ...errors import StageError
from .contenders import Feeds
from .record import Memory
from .subject import Subject


@dataclass(frozen=True)
class Job:
    """What the process is to run."""

    subject: Subject
    device: str
    threads: int
    contender: str
    points: tuple[Feeds, ...]


def run_alone(job: Job) -> list[Memory]:
    """The memory of each point. Raises StageError where the contender fails or ends its process, saying how."""
    folder = job.subject.folder
    given, result = folder / f"{job.contender}.job", folder / f"{job.contender}.json"
    given.write_bytes(pickle.dumps(job))
    command = [sys.executable, "-m", "attnexport.export.bench.child", str(given), str(result)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = next(iter(reversed(done.stderr.strip().splitlines())), "no message")
        raise StageError(job.contender, f"ends its process ({_ending(done.returncode)}): {said[:200]}")
    content = json.loads(result.read_text(encoding="utf-8"))
    if "error" in content:
        raise StageError(job.contender, content["error"])
    return [Memory(**point) for point in content["points"]]


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"
