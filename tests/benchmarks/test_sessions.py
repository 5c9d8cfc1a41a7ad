"""The benchmark of sessions: what it measures is what it says, and the bar is judged as written."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

import attnexport

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("sessions", ROOT / "benchmarks" / "sessions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_both_are_timed_over_the_same_model(script: ModuleType, tmp_path: Path) -> None:
    bundle = attnexport.export(ROOT / "examples" / "digits_sasa.pt", out=tmp_path / "a.attn", precision="fp32")
    found = script.measure(bundle.path, rounds=40, seconds=0.0)
    assert (found.model, found.rounds) == ("a", 40)
    assert found.bare > 0
    assert found.interval[0] <= found.added <= found.interval[1]


@pytest.mark.parametrize(
    ("bare", "added", "held"),
    [(1000.0, 29.0, True), (1000.0, 31.0, False), (10_000.0, 49.0, True), (10_000.0, 51.0, False), (100.0, -1.0, True)],
)
def test_the_bar_is_a_share_and_a_time(script: ModuleType, bare: float, added: float, held: bool) -> None:
    one = script.Overhead("m", bare, bare + added, added, (added, added), 9)
    assert one.held is held
    assert ("NOT HELD" in replace(one).describe()) is not held
