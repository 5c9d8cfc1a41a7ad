"""The whole search on models in which it is known what should be kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from attnexport.export.progress import Silent
from attnexport.export.search import SearchOutcome, trials

Search = Callable[..., SearchOutcome]


class Told(Silent):
    """Keeps what progress was reported."""

    def __init__(self) -> None:
        super().__init__()
        self.progressed: list[tuple[float, str]] = []

    def progress(self, done: float, text: str) -> None:
        self.progressed.append((done, text))


def kept(found: SearchOutcome) -> set[str]:
    return {decision.node for decision in found.decisions}


@pytest.fixture
def spoiled(weighted: Callable[..., ModelProto]) -> ModelProto:
    """Six layers; between the second and the third 1000 is added and taken away again, which costs ten bits."""
    rng = np.random.default_rng(4)
    lines = "a1 = MatMul(x, w1) a2 = Tanh(a1) up = Add(a2, k) down = Sub(up, k) b1 = MatMul(down, w2) b2 = Tanh(b1) y = MatMul(b2, w3)"
    text = f"net (float[n, 16] x, float[16, 16] w1, float[16, 16] w2, float[16, 16] w3, float[1] k) => (float[n, 16] y) {{ {lines} }}"
    return weighted(text, **{f"w{i}": rng.standard_normal((16, 16)) / 4 for i in (1, 2, 3)}, k=np.array([1000.0]))


def test_a_model_that_passes_keeps_nothing_and_costs_one_run(residual: ModelProto, searched: Search) -> None:
    found = searched(residual, 64, 8, target=1.5)
    assert found.decisions == () and found.report.verdict == "passed at once"
    assert found.report.evaluations == 1 and found.report.held_out is None
    assert found.report.error == found.report.before == pytest.approx(1.0, rel=0.05)  # the measure is all FP16


def test_the_place_that_makes_the_error_is_found_and_little_else(spoiled: ModelProto, searched: Search) -> None:
    found = searched(spoiled, 256, 16, target=0.1)
    assert {"up", "down"} <= kept(found) <= {"a2", "up", "down", "b1"}
    report = found.report
    assert report.verdict == "searched" and report.error < 0.1 and report.held_out is not None and report.held_out < 0.1
    assert report.before == pytest.approx(1.0, rel=1e-3) and report.top_share is not None and report.top_share > 0.9
    reasons = {decision.node: decision for decision in found.decisions}
    assert reasons["up"].rule == "search" and reasons["up"].severity == "measured"
    assert "% of the FP16 error of the outputs" in reasons["up"].reason


def test_overflow_alone(weighted: Callable[..., ModelProto], searched: Search) -> None:
    text = """net (float[n, 8] x, float[1] up, float[1] down, float[8, 8] w) => (float[n, 8] y) {
        a = Mul(x, up)
        b = Mul(a, a)
        c = Sqrt(b)
        d = Mul(c, down)
        y = MatMul(d, w)
    }"""
    w = np.random.default_rng(0).standard_normal((8, 8))
    model = weighted(text, up=np.array([1000.0]), down=np.array([1e-3]), w=w)
    found = searched(model, 64, 8, target=1.5)
    assert found.report.verdict == "overflow only" and found.report.before == float("inf")
    assert kept(found) == {"b", "c"}
    assert found.report.error < 1.5


def test_diffuse_noise_is_a_rounding_floor(weighted: Callable[..., ModelProto], searched: Search) -> None:
    """Twelve layers alike: a third of the error takes away most of them, so nothing is kept; unless it is insisted on."""
    rng = np.random.default_rng(2)
    names = [f"w{i}" for i in range(12)]
    lines = " ".join(f"a{i} = MatMul({'x' if i == 0 else f'b{i - 1}'}, w{i}) b{i} = Tanh(a{i})" for i in range(12))
    head = ", ".join(f"float[16, 16] {name}" for name in names)
    model = weighted(
        f"net (float[n, 16] x, {head}) => (float[n, 16] y) {{ {lines} y = Identity(b11) }}",
        **{name: np.linalg.qr(rng.standard_normal((16, 16)))[0] for name in names},
    )
    found = searched(model, 128, 16, target=0.5)
    assert found.report.verdict == "rounding floor" and kept(found) == set()
    assert found.report.top_share is not None and found.report.top_share < 0.4
    assert "rounding in very many places" in found.report.text
    insisted = searched(model, 128, 16, target=0.5, settle=False)
    assert insisted.report.verdict == "searched" and insisted.report.error <= 0.5 and len(kept(insisted)) > 6


def test_a_search_that_was_stopped_goes_on_where_it_was(
    spoiled: ModelProto, searched: Search, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = trials.Trials._score
    count = 0

    def stops(self: trials.Trials, *given: object) -> object:
        nonlocal count
        count += 1
        if count > 6:
            raise KeyboardInterrupt
        return whole(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(trials.Trials, "_score", stops)
    with pytest.raises(KeyboardInterrupt):
        searched(spoiled, 256, 16, target=0.1)
    monkeypatch.setattr(trials.Trials, "_score", whole)
    resumed = searched(spoiled, 256, 16, target=0.1)
    again = searched(spoiled, 256, 16, target=0.1)
    assert resumed.report.remembered >= 6
    assert again.report.evaluations == 1, "only the gate is run anew"
    assert again.decisions == resumed.decisions


def test_the_time_limit_leaves_the_best_so_far(spoiled: ModelProto, searched: Search) -> None:
    found = searched(spoiled, 256, 16, target=0.1, seconds=1e-6)
    assert found.report.verdict == "time limit" and found.report.evaluations == 1
    assert found.report.error <= 2.0  # what is exported stays within what the export allows


def test_progress_tells_evaluations_kept_nodes_and_error(spoiled: ModelProto, searched: Search) -> None:
    told = Told()
    searched(spoiled, 256, 16, target=0.1, reporter=told)
    done = [entry[0] for entry in told.progressed]
    assert done == sorted(done) and done[-1] < 1.0
    assert any("evaluations" in text and "kept, error" in text and "target 0.1x" in text for _, text in told.progressed)
