"""A contender in a separate process: its memory, and the report of its failure."""

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
    """The bundle's model at two batches; the tests replace its original."""
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


def test_a_small_model_needs_little_memory_and_no_torch(job: MemoryJob) -> None:
    memories, failure = run_alone(job)
    assert (len(memories), failure) == (2, "")
    for memory in memories:
        assert memory.peak is not None and memory.added is not None and memory.device is None
        assert 20 * MEGABYTE < memory.peak < 150 * MEGABYTE, "numpy and onnxruntime; PyTorch result takes more"
        assert 0 <= memory.added < 20 * MEGABYTE


def test_a_process_that_runs_onnx_does_not_import_torch(job: MemoryJob, tmp_path: Path) -> None:
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    script = (
        "import pickle, sys, pathlib, attnexport.export.bench.memory\n"
        f"pickle.loads(pathlib.Path({str(tmp_path / 'job')!r}).read_bytes())\n"
        "sys.exit(int('torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_temporary_memory_of_the_runs_is_counted(job: MemoryJob, factories: str) -> None:
    (first, second), _ = run_alone(with_original(job, f"{factories}:Hungry"))
    for memory in (first, second):
        assert memory.peak is not None and memory.added is not None
        assert 190 * MEGABYTE < memory.added < 230 * MEGABYTE
        assert memory.peak > memory.added + 100 * MEGABYTE, "the process holds PyTorch beside it"


def test_points_before_the_end_of_a_process_are_kept(job: MemoryJob, factories: str) -> None:
    """A batch of 1 runs, a batch of 8 ends the process, as when memory is short."""
    memories, failure = run_alone(with_original(job, f"{factories}:Aborting"))
    assert len(memories) == 1
    assert failure.startswith("the process ended (SIGABRT)")


def test_the_error_of_a_library_is_reported(job: MemoryJob, factories: str) -> None:
    assert run_alone(with_original(job, f"{factories}:Failing")) == ((), "ValueError: this model")
