"""Errors as multiples of PyTorch's own, part by part, against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attnexport.export.search.evidence import Evidence, ReferenceRun, Score

RNG = np.random.default_rng(0)
TRUTH = {part: RNG.standard_normal((6, 4)) for part in ("random", "samples")}
OWN = {"random": TRUTH["random"] + 0.01 * RNG.standard_normal((6, 4)), "samples": TRUTH["samples"] + 0.1}


def evidence(logits: str | None = None) -> Evidence:
    runs = [ReferenceRun(part, {"x": np.zeros(1)}, {"y": TRUTH[part]}, {"y": OWN[part]}) for part in TRUTH]
    return Evidence(runs, logits)


def test_each_part_is_held_to_its_own_error() -> None:
    errors = {"random": RNG.standard_normal((6, 4)) * 0.05, "samples": RNG.standard_normal((6, 4)) * 0.05}
    score = evidence().score([{"y": TRUTH[part] + errors[part]} for part in TRUTH])

    def rms(array: np.ndarray) -> float:
        return float(np.sqrt((array**2).mean()))

    for part in TRUTH:
        want = rms(errors[part]) / rms(OWN[part] - TRUTH[part])
        assert score.ratios[f"{part}/y"] == pytest.approx(want, rel=1e-9)
    assert score.worst == score.ratios["random/y"] > 3.0
    assert score.within(score.worst) and not score.within(0.99 * score.worst)


def test_where_pytorch_is_exact_one_rounding_is_allowed() -> None:
    truth = np.full((4, 4), 2.0)
    exact = Evidence([ReferenceRun("random", {}, {"y": truth}, {"y": truth})])
    assert exact.score([{"y": truth + 2.0**-10}]).worst == pytest.approx(1.0)  # half an ulp of FP16 at 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_never_passes(bad: float) -> None:
    broken = {part: np.where(np.arange(24).reshape(6, 4) == 5, bad, TRUTH[part]) for part in TRUTH}
    score = evidence().score([{"y": broken[part]} for part in TRUTH])
    assert score.worst == math.inf and not score.finite and not score.within(1e9)


def test_another_class_fails_unless_it_is_a_tie() -> None:
    truth = np.array([[1.0, 0.0, -1.0], [1.0, 0.999, -1.0]])
    own = truth + 0.001
    one = Evidence([ReferenceRun("random", {}, {"y": truth}, {"y": own})], logits="y")
    swapped = truth[:, [1, 0, 2]]
    assert one.score([{"y": swapped}]).flips == 1, "the second row's two best are within PyTorch's error"
    assert not Score({"random/y": 0.5}, flips=1).within(1.0)
    assert one.score([{"y": truth}]).flips == 0


def test_half_of_the_runs_has_every_part() -> None:
    runs = [
        ReferenceRun(part, {}, {"y": TRUTH["random"] + i}, {"y": OWN["random"] + i})
        for part in ("random", "samples")
        for i in range(3)
    ]
    half = Evidence(runs).half()
    assert half.runs == (runs[0], runs[2], runs[3], runs[5])
    assert Evidence(runs[:1]).half().runs == (runs[0],)


def test_a_score_survives_json() -> None:
    for score in (Score({"random/y": 0.25, "samples/y": math.inf}, 3), Score({})):
        assert Score.from_json(score.to_json()) == score
