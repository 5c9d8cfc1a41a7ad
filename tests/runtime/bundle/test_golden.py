"""Golden cases survive their file, which is plain arrays under documented keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import BundleError
from attnexport.runtime.bundle.golden import GoldenCase, Tie, read_golden, write_golden

X = np.arange(6, dtype=np.float32).reshape(2, 3)
IDS = np.array([[1, 2]], np.int64)


def test_cases_survive_with_names_shapes_and_dtypes(tmp_path: Path) -> None:
    cases = [
        GoldenCase("min", {"x": X, "a/b.c": IDS}, {"y": X.astype(np.float64), "best": IDS}),
        GoldenCase("real samples", {"x": X[:1], "a/b.c": IDS}, {"y": np.array(np.pi), "best": IDS}),
    ]
    write_golden(tmp_path / "golden.npz", cases)
    read = read_golden(tmp_path / "golden.npz")
    assert [c.name for c in read] == ["min", "real samples"]
    for was, now in zip(cases, read, strict=True):
        for a, b in ((was.feeds, now.feeds), (was.reference, now.reference)):
            assert list(a) == list(b)
            for name in a:
                np.testing.assert_array_equal(a[name], b[name], strict=True)


def test_ties_survive_and_a_half_of_one_is_refused(tmp_path: Path) -> None:
    tie = Tie(IDS + 1, IDS / 7)
    write_golden(tmp_path / "golden.npz", [GoldenCase("opt", {"x": X}, {"best": IDS}, {"best": tie})])
    (read,) = read_golden(tmp_path / "golden.npz")
    np.testing.assert_array_equal(read.ties["best"].other, tie.other, strict=True)
    np.testing.assert_array_equal(read.ties["best"].gap, tie.gap, strict=True)
    with np.load(tmp_path / "golden.npz") as archive:
        arrays = {key: archive[key] for key in archive.files if not key.startswith("gap")}
    np.savez(tmp_path / "golden.npz", **arrays)
    with pytest.raises(BundleError, match=r"case 'opt' .* lacks a part of its ties"):
        read_golden(tmp_path / "golden.npz")


def test_the_keys_are_the_documented_ones(tmp_path: Path) -> None:
    write_golden(tmp_path / "golden.npz", [GoldenCase("opt", {"x": X}, {"y": X.astype(np.float64)})])
    with np.load(tmp_path / "golden.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["cases", "feed/0/x", "truth/0/y"]


def test_equal_cases_make_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_golden(tmp_path / name, [GoldenCase("opt", {"x": X}, {"y": X.astype(np.float64)})])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_truth_below_float64_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be float64, not float32"):
        write_golden(tmp_path / "golden.npz", [GoldenCase("opt", {"x": X}, {"y": X})])


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    case = GoldenCase("opt", {"x": X}, {"y": X.astype(np.float64)})
    with pytest.raises(ValueError, match="distinct names"):
        write_golden(tmp_path / "golden.npz", [case, case])


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({}, "lists no cases"),
        ({"feed/0/x": X}, "lists no cases"),
        ({"cases": X}, "lists no cases"),
        ({"cases": np.array([], np.str_)}, "lists no cases"),
        ({"cases": np.array(["a"]), "feed/0/x": X}, "case 'a' .* lacks inputs or outputs"),
        ({"cases": np.array(["a"]), "feed/1/x": X}, "unknown entry 'feed/1/x'"),
        ({"cases": np.array(["a"]), "feed/-1/x": X}, "unknown entry 'feed/-1/x'"),
        ({"cases": np.array(["a"]), "feed/0/": X}, "unknown entry 'feed/0/'"),
        ({"cases": np.array(["a"]), "other": X}, "unknown entry 'other'"),
        ({"cases": np.array(["a"], object)}, "cannot be read"),
    ],
)
def test_another_layout_is_refused(tmp_path: Path, arrays: dict[str, Any], problem: str) -> None:
    with (tmp_path / "golden.npz").open("wb") as stream:
        np.savez(stream, **arrays)
    with pytest.raises(BundleError, match=problem):
        read_golden(tmp_path / "golden.npz")


@pytest.mark.parametrize("size", [0, 1, 10, 100, -1, -30, -100])
def test_a_truncated_file_is_one_line(tmp_path: Path, size: int) -> None:
    path = tmp_path / "golden.npz"
    write_golden(path, [GoldenCase("opt", {"x": X}, {"y": X.astype(np.float64)})])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BundleError, match="cannot be read") as caught:
        read_golden(path)
    assert "\n" not in str(caught.value)


def test_flipped_bytes_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    write_golden(path, [GoldenCase("opt", {"x": X}, {"y": X.astype(np.float64)})])
    whole = path.read_bytes()
    truth = read_golden(path)
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            read = read_golden(path)
        except BundleError:
            continue
        # A flip in what zip does not need (dates, flags) may pass; the arrays must be the same then.
        np.testing.assert_array_equal(read[0].reference["y"], truth[0].reference["y"])
        np.testing.assert_array_equal(read[0].feeds["x"], truth[0].feeds["x"])


def test_a_plain_npy_or_a_missing_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(BundleError, match="cannot be read"):
        read_golden(tmp_path / "x.npy")
    with pytest.raises(BundleError, match="does not exist"):
        read_golden(tmp_path / "gone.npz")
