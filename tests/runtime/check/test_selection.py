"""Rows of a selection are matched before they are compared: order, ties and wrong choices are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.runtime.bundle.figures import Gate, MatchCounts
from attnexport.runtime.bundle.sections import Selection
from attnexport.runtime.check.case_errors import OutputErrors, compare_case, tie_margins
from attnexport.runtime.check.interval import ratio_interval
from attnexport.runtime.check.selection import match_rows

ROWS = Selection({"xy": 1, "score": 1}, "score")
GENERATOR = np.random.default_rng(0)
COUNT = 40


def _reference(batch: int = 2) -> dict[str, np.ndarray]:
    score = np.sort(GENERATOR.uniform(0.1, 1.0, (batch, COUNT)))[:, ::-1].copy()
    # No two rows are at the same pixel.
    xy = np.stack([GENERATOR.permutation(500)[:COUNT] for _ in range(batch)])[..., None] * [1.0, 2.0]
    return {"xy": xy, "score": score}


def _taken(arrays: dict[str, np.ndarray], order: list[int]) -> dict[str, np.ndarray]:
    return {name: array[:, order].astype(np.float32) for name, array in arrays.items()}


def test_rows_in_place_are_equal() -> None:
    reference = _reference()
    rows = match_rows(_taken(reference, list(range(COUNT))), reference, ROWS, 1e-2)
    assert rows.agreement == MatchCounts(2 * COUNT, 2 * COUNT)


@pytest.mark.parametrize("swapped", [[1, 0], [0, 1, 3, 2], [5, 1, 2, 3, 4, 0]])
def test_rows_that_change_places_are_moved_and_compared_with_their_counterpart(swapped: list[int]) -> None:
    reference = _reference()
    order = [*swapped, *range(len(swapped), COUNT)]
    outputs = _taken(reference, order)
    outputs["score"] += np.float32(1e-4)
    moved = sum(i != j for i, j in enumerate(swapped))
    rows = match_rows(outputs, reference, ROWS, 1e-2)
    assert rows.agreement == MatchCounts(2 * COUNT, 2 * (COUNT - moved), 2 * moved)
    np.testing.assert_array_equal(rows.outputs["xy"], rows.reference["xy"])
    np.testing.assert_allclose(rows.outputs["score"] - rows.reference["score"], 1e-4, atol=1e-6)


def test_rows_that_resemble_each_other_are_matched_with_the_nearest_not_in_place() -> None:
    """Queries of a detector: each row differs from the next by half of the tolerance, and rounding by far less."""
    rows = 1.0 + 5e-2 * np.arange(COUNT)[None, :, None] + np.zeros((1, COUNT, 3))
    reference = {"box": rows}
    order = [1, 0, *range(2, 10), 11, 12, 10, *range(13, COUNT)]
    outputs = {"box": (rows[:, order] + GENERATOR.normal(0, 1e-4, rows.shape)).astype(np.float32)}
    matched = match_rows(outputs, reference, Selection({"box": 1}, ""), 0.1)
    assert matched.agreement == MatchCounts(COUNT, COUNT - 5, 5)
    assert float(np.abs(matched.outputs["box"] - matched.reference["box"]).max()) < 1e-3


def test_near_rows_stay_in_place_where_the_nearest_would_leave_one_without_a_counterpart() -> None:
    reference = {"x": np.array([[0.0, 1.0, 10.5, 20.5, 30.5, 40.5]])[..., None]}
    outputs = {"x": np.array([[0.9, 2.9, 10.51, 20.51, 30.51, 40.51]], np.float32)[..., None]}
    scale = float(np.sqrt((reference["x"] ** 2).mean()))
    matched = match_rows(outputs, reference, Selection({"x": 1}, ""), 2.0 / scale)
    assert matched.agreement == MatchCounts(6, 6)


def test_another_pixel_is_another_row_however_near() -> None:
    reference = _reference()
    outputs = _taken(reference, list(range(COUNT)))
    outputs["xy"][0, 3, 1] += 1.0
    assert match_rows(outputs, reference, ROWS, 0.1).agreement.lost == 1


def test_a_last_row_is_a_tie_within_the_margin_only() -> None:
    reference = _reference(batch=1)
    outputs = _taken(reference, list(range(COUNT)))
    outputs["xy"][0, -1] = (1001.0, 1.0)  # another element with nearly the last score
    outputs["score"][0, -1] -= np.float32(1e-3)
    within = match_rows(outputs, reference, ROWS, 0.1, margin=2e-3).agreement
    assert (within.ties, within.lost) == (1, 0)
    beyond = match_rows(outputs, reference, ROWS, 0.1, margin=5e-4).agreement
    assert (beyond.ties, beyond.lost) == (0, 1)


def test_a_wrong_row_in_the_middle_is_never_a_tie() -> None:
    reference = _reference(batch=1)
    outputs = _taken(reference, list(range(COUNT)))
    outputs["xy"][0, 3] = (1001.0, 1.0)
    assert match_rows(outputs, reference, ROWS, 0.1, margin=1e-3).agreement.lost == 1


@pytest.mark.parametrize("kept", [COUNT - 3, COUNT - 1])
def test_a_missing_row_is_lost_and_so_is_one_too_many(kept: int) -> None:
    reference = _reference(batch=1)
    fewer = _taken(reference, list(range(kept)))
    assert match_rows(fewer, reference, ROWS, 0.1).agreement == MatchCounts(COUNT, kept)
    short = {name: array[:, :kept] for name, array in reference.items()}
    more = match_rows(_taken(reference, list(range(COUNT))), short, ROWS, 0.1).agreement
    assert more == MatchCounts(COUNT, kept)


def test_one_row_of_the_reference_is_matched_once() -> None:
    reference = _reference(batch=1)
    outputs = _taken(reference, [0] * COUNT)
    assert match_rows(outputs, reference, ROWS, 0.1).agreement == MatchCounts(COUNT, 1)


@pytest.mark.parametrize(
    ("order", "passes"),
    [
        (list(range(COUNT)), True),
        ([1, 0, *range(2, COUNT)], True),  # as PyTorch does
        (list(range(COUNT))[::-1], False),  # the smallest first
        ([*range(0, COUNT, 2), *range(1, COUNT, 2)], False),
    ],
)
def test_the_gate_allows_the_order_that_pytorch_changes_and_no_other(order: list[int], passes: bool) -> None:
    reference = _reference(batch=4)
    torch_outputs = _taken(reference, [1, 0, *range(2, COUNT)])
    margins = tie_margins(torch_outputs, reference, [ROWS])
    torch = compare_case(torch_outputs, reference, [ROWS], "float16", margins)["xy"]
    errors = compare_case(_taken(reference, order), reference, [ROWS], "float16", margins)["xy"]
    gate = Gate.judge(
        errors.figures(),
        torch_rms=torch.figures().rms,
        precision="float16",
        factor=2.0,
        agreement=errors.agreement,
        torch_agreement=torch.agreement,
    )
    assert gate.passed is passes


def test_other_rows_than_the_references_fail() -> None:
    reference = _reference(batch=4)
    other = {"xy": reference["xy"] + 1000.0, "score": reference["score"] / 2}
    torch = compare_case(reference, reference, [ROWS], "float32", {})["xy"]
    errors = compare_case(other, reference, [ROWS], "float32", {})["xy"]
    gate = Gate.judge(
        errors.figures(), torch_rms=torch.figures().rms, precision="float32", factor=2.0,
        agreement=errors.agreement, torch_agreement=torch.agreement,
    )  # fmt: skip
    assert (gate.verdict, gate.ratio) == ("fail", np.inf)


@pytest.mark.parametrize(
    ("differing", "by_torch", "verdict"),
    [(0, 0, "pass"), (10, 0, "pass"), (11, 0, "fail"), (40, 20, "pass"), (41, 20, "fail"), (300, 200, "unstable")],
)
def test_classes_are_counted_not_measured(differing: int, by_torch: int, verdict: str) -> None:
    """1 % of 1,000 labels may differ, or twice as many as PyTorch's; the size of a difference between labels means nothing."""
    reference = {"label": GENERATOR.integers(0, 90, 1000)}
    mine, theirs = reference["label"].copy(), reference["label"].copy()
    mine[:differing] = (mine[:differing] + 45) % 90
    theirs[:by_torch] = (theirs[:by_torch] + 45) % 90
    torch = compare_case({"label": theirs}, reference, [], "float16", {})["label"]
    errors = compare_case({"label": mine}, reference, [], "float16", {})["label"]
    gate = Gate.judge(
        errors.figures(), torch_rms=torch.figures().rms, precision="int64", factor=2.0,
        agreement=errors.agreement, torch_agreement=torch.agreement,
    )  # fmt: skip
    assert gate.verdict == verdict


def test_thousands_of_rows_in_another_order_are_matched_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnexport.runtime.check.selection.AT_ONCE", 50_000)
    count = 3000
    reference = {"index": GENERATOR.permutation(count)[None].astype(np.int64)}
    order = GENERATOR.permutation(count)
    rows = match_rows({"index": reference["index"][:, order]}, reference, Selection({"index": 1}), 1e-2)
    placed = int((order == np.arange(count)).sum())
    assert rows.agreement == MatchCounts(count, placed, count - placed)
    np.testing.assert_array_equal(rows.outputs["index"], rows.reference["index"])


def _errors(scales: list[float], lost: int = 0) -> OutputErrors:
    """Each scale is the error of one image's rows; ``lost`` rows of the first image are others."""
    reference = {"box": 1.0 + np.arange(COUNT)[None, :, None] + np.zeros((len(scales), COUNT, 4))}
    noise = np.random.default_rng(1).choice([-1.0, 1.0], reference["box"].shape) * np.array(scales)[:, None, None]
    outputs = {"box": reference["box"] + noise}
    outputs["box"][0, :lost] = 500.0
    return compare_case(outputs, reference, [Selection({"box": 1}, "")], "float32", {})["box"]


def test_squares_by_image_are_scaled_up_to_all_rows() -> None:
    (squares,) = _errors([1e-3, 2e-3], lost=10).rows
    np.testing.assert_allclose(squares, [[COUNT * 4 * 1e-6, COUNT * 4], [COUNT * 4 * 4e-6, COUNT * 4]])


@pytest.mark.parametrize(
    ("mine", "lost", "passes"),
    [
        ([1e-3] * 22 + [5.2e-3] * 2, 0, True),  # two images decide, and other inputs may have others
        ([2.2e-3] * 24, 0, False),
        ([1e-3] * 22 + [5.2e-3] * 2, 20, False),
        ([1e-3] * 22 + [9e-3] * 2, 0, False),
    ],
    ids=["in doubt", "all images", "other rows", "far beyond"],
)
def test_an_error_of_few_images_is_judged_by_its_interval(mine: list[float], lost: int, passes: bool) -> None:
    torch, errors = _errors([1e-3] * 23 + [1.5e-3]), _errors(mine, lost)
    gate = Gate.judge(
        errors.figures(),
        torch_rms=torch.figures().rms,
        precision="float32",
        factor=1.5,
        agreement=errors.agreement,
        torch_agreement=torch.agreement,
        interval=ratio_interval(errors.rows, torch.rows, 0.0),
    )
    assert gate.passed is passes
