"""Processes that stay alive, one thread each, and examine one seed after the other. One that dies is a finding, and is replaced."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .trial import Outcome, Verdict

SECONDS, RENEWED = 300, 1500
"""The limit for one graph; after so many a process is replaced, since torch keeps what it traced."""

Job = tuple[str, int]
"""``onnx`` or ``torch``, and the seed."""


def examine_job(job: Job) -> Outcome:
    """The outcome of one seed, in this process."""
    from . import onnx_subject, torch_subject
    from .trial import examine

    kind, seed = job
    if kind not in ("onnx", "torch"):
        raise ValueError(f"no such kind: {kind}")
    if kind == "torch":
        return examine(torch_subject.subject(seed))
    with TemporaryDirectory() as folder:
        return examine(onnx_subject.subject(seed, Path(folder)))


def prepare() -> None:
    """What a process does once: no warnings of libraries, one thread, torch.onnx's translations read once."""
    import logging
    import warnings

    import onnxruntime
    import torch
    from torchlib_once import remember

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    onnxruntime.set_default_logger_severity(4)
    torch.set_num_threads(1)
    remember()


def _serve(pipe: Connection) -> None:
    prepare()
    while True:
        job = pipe.recv()
        if job is None:
            return
        pipe.send(examine_job(job))


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    job: Job | None = None
    done: int = field(default=0)

    @classmethod
    def start(cls) -> _Worker:
        context = multiprocessing.get_context("spawn")
        near, far = context.Pipe()
        process = context.Process(target=_serve, args=(far,), daemon=True)
        process.start()
        far.close()
        return cls(process, near)

    def give(self, job: Job) -> None:
        self.job = job
        self.pipe.send(job)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def examine_all(jobs: Iterable[Job], count: int) -> Iterator[Outcome]:
    """The outcomes of all jobs by ``count`` processes, as they come."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    waiting = iter(jobs)
    workers: list[_Worker] = []
    try:
        for job in waiting:
            workers.append(_Worker.start())
            workers[-1].give(job)
            if len(workers) == count:
                break
        while workers:
            ready = wait([w.pipe for w in workers], timeout=SECONDS) or [workers[0].pipe]
            for worker in [w for w in workers if w.pipe in ready]:
                yield _answer(worker)
                workers.remove(worker)
                job = next(waiting, None)
                if job is not None:
                    workers.append(_next(worker))
                    workers[-1].give(job)
                else:
                    worker.stop()
    finally:
        for worker in workers:
            worker.stop()


def _answer(worker: _Worker) -> Outcome:
    assert worker.job is not None
    try:
        if not worker.pipe.poll():
            raise EOFError(f"no answer within {SECONDS} s")
        worker.done += 1
        outcome: Outcome = worker.pipe.recv()
        return outcome
    except (EOFError, OSError) as error:
        worker.done = RENEWED
        return Outcome(*worker.job, Verdict.CRASH.value, f"the process ended: {error}")


def _next(worker: _Worker) -> _Worker:
    if worker.done < RENEWED:
        return worker
    worker.stop()
    return _Worker.start()
