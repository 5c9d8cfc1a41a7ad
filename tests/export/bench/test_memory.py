"""A contender in a process of its own: the memory that it takes, and how its end is told."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from attnexport.export.bench.measured_model import MeasuredModel, OriginalModel
from attnexport.export.bench.memory import MemoryJob, run_alone
from attnexport.export.source import SourceOptions
from attnexport.runtime.bundle.bundle import StoredBundle

MEGABYTE = 1 << 20


@pytest.fixture
def job(small_bundle: Path, factories: str, tmp_path: Path) -> MemoryJob:
    """The bundle's own model at two batches; its original is what the tests replace."""
    manifest = StoredBundle.open(small_bundle).manifest
    options = SourceOptions(factory=f"{factories}:Small", own_weights=True, inputs=("x=2x8x6",))
    model = MeasuredModel(
        "small", small_bundle, tmp_path, manifest.inputs, manifest.outputs, OriginalModel.of_file(None, options)
    )  # fmt: skip
    points = tuple({"x": np.zeros((batch, 8, 6), np.float32)} for batch in (1, 8))
    return MemoryJob(model, "cpu", 1, "attnexport", points)


def with_original(job: MemoryJob, factory: str) -> MemoryJob:
    """PyTorch's eager contender on another module."""
    from dataclasses import replace

    options = SourceOptions(factory=factory, own_weights=True, inputs=("x=2x8x6",))
    return replace(job, contender="eager", model=replace(job.model, original=OriginalModel.of_file(None, options)))


def test_a_small_model_takes_little_and_no_torch(job: MemoryJob) -> None:
    alone = run_alone(job)
    assert (len(alone.memories), alone.failure) == (2, "")
    memories = alone.memories
    for memory in memories:
        assert memory.peak is not None and memory.added is not None and memory.device is None
        assert 20 * MEGABYTE < memory.peak < 150 * MEGABYTE, "numpy and onnxruntime; PyTorch alone takes more"
        assert 0 <= memory.added < 20 * MEGABYTE


def test_a_process_that_runs_onnx_is_not_told_of_torch(job: MemoryJob, tmp_path: Path) -> None:
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    script = (
        "import pickle, sys, pathlib, attnexport.export.bench.child\n"
        f"pickle.loads(pathlib.Path({str(tmp_path / 'job')!r}).read_bytes())\n"
        "sys.exit(int('torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_what_the_runs_hold_for_a_moment_is_counted(job: MemoryJob, factories: str) -> None:
    first, second = run_alone(with_original(job, f"{factories}:Hungry")).memories
    for memory in (first, second):
        assert memory.peak is not None and memory.added is not None
        assert 190 * MEGABYTE < memory.added < 230 * MEGABYTE
        assert memory.peak > memory.added + 100 * MEGABYTE, "the process holds PyTorch beside it"


def test_what_was_measured_before_a_process_ended_is_kept(job: MemoryJob, factories: str) -> None:
    """A batch of 1 runs, a batch of 8 ends the process, as it does where memory is short."""
    alone = run_alone(with_original(job, f"{factories}:Aborting"))
    assert len(alone.memories) == 1
    assert alone.failure.startswith("it ends its process (SIGABRT)")


def test_what_a_library_raises_is_told_in_its_words(job: MemoryJob, factories: str) -> None:
    alone = run_alone(with_original(job, f"{factories}:Failing"))
    assert (alone.memories, alone.failure) == ((), "ValueError: this model")
