"""How the whole suite runs: one thread for each library, since there is a worker for each core, and the longest files first."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator

import pytest
from pairwise import beyond_pairs
from torchlib_once import remember

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

LONGEST = (
    "tests/sweep/test_sweep.py",
    "tests/models/test_export_registry.py",
    "tests/test_end_to_end.py",
    "tests/export/recognise/test_attend.py",
    "tests/export/search/test_nets.py",
    "tests/export/sequence/test_dates_bundle.py",
    "tests/runtime/decode/test_exported.py",
    "tests/serve/test_life.py",
    "tests/test_documents.py",
)
"""Minutes each: begun at the end, one of them would keep one worker busy while the others have nothing left."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the rest of pairwise grids to the sweep; order the files, as workers take them. Inside a file the order stays."""
    for item in beyond_pairs(items):
        item.add_marker(pytest.mark.sweep)
    items.sort(key=lambda item: 0 if item.nodeid.startswith(LONGEST) else 1)


def pytest_collection_finish() -> None:
    """What every export would do again: read torch.onnx's translations, walk all modules for garbage, keep records of tracing."""
    if "torch" in sys.modules:
        remember()
        logging.getLogger("torch.__trace").propagate = False
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)  # a trace makes so many objects that a walk at every 700 takes 4 % of the time


@pytest.fixture(autouse=True, scope="module")
def _nothing_old_is_walked_for_garbage() -> Iterator[None]:
    """After hundreds of exports a walk takes two seconds: what a file leaves in caches is not walked again."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _small_traces_keep_no_shapes(request: pytest.FixtureRequest) -> Iterator[None]:
    """torch keeps the shapes of each operator's result. Networks of many equal layers gain by it; small graphs of free sizes,
    as in tests/export/, take a fifth longer."""
    if "torch" not in sys.modules or not request.node.nodeid.startswith("tests/export/"):
        yield
        return
    import torch._dynamo

    with torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
        yield


@pytest.fixture(autouse=True, scope="module")
def _one_thread_again() -> Iterator[None]:
    """Benchmarks set torch's number of threads: with two, a network trains five times as long while another worker is busy."""
    yield
    threads = int(os.environ["OMP_NUM_THREADS"])
    if (torch := sys.modules.get("torch")) is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Names that every worker finds alike: sets are written in order, and archives, which hold the time, by their argument."""
    if isinstance(val, (set, frozenset)):
        return "{" + ", ".join(sorted(map(str, val))) + "}"
    if isinstance(val, bytes) and len(val) > 20:
        return argname
    return None
