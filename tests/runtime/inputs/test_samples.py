"""Real samples fit the model, or the file's fault is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.inputs.samples import load_samples
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 2, 4, "batch")
X = TensorSpec("x", "float32", (BATCH, Axis.fixed(3)))
IDS = TensorSpec("ids", "int64", (BATCH, Axis.fixed(2)), 0, 10)
DATA = np.arange(30, dtype=np.float32).reshape(10, 3)


def _npz(path: Path, **arrays: Any) -> Path:
    np.savez(path / "samples.npz", **arrays)
    return path / "samples.npz"


def _npy(path: Path, array: np.ndarray) -> Path:
    np.save(path / "samples.npy", array)
    return path / "samples.npy"


def test_npz_gives_inputs_by_name_labels_and_the_rest_apart(tmp_path: Path) -> None:
    ids = np.ones((10, 2), np.int64)
    samples = load_samples(_npz(tmp_path, x=DATA, ids=ids, labels=np.arange(10), angle=np.zeros(2)), [X, IDS])
    assert samples.count == 10, "more samples than the batch axis takes at once"
    np.testing.assert_array_equal(samples.arrays["x"], DATA, strict=True)
    np.testing.assert_array_equal(samples.arrays["ids"], ids, strict=True)
    assert samples.labels is not None
    assert samples.labels.tolist() == list(range(10))
    assert list(samples.extra) == ["angle"]
    assert samples.notes == ()


def test_npy_serves_a_model_of_one_input(tmp_path: Path) -> None:
    np.testing.assert_array_equal(load_samples(_npy(tmp_path, DATA), [X]).arrays["x"], DATA, strict=True)
    with pytest.raises(InputError, match="has one input and the model takes x, ids"):
        load_samples(tmp_path / "samples.npy", [X, IDS])


def test_a_directory_is_read_in_the_order_of_names_single_samples_or_several(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", DATA[2:5])
    np.save(tmp_path / "a.npy", DATA[0])
    np.save(tmp_path / "c.npy", DATA[9])
    (tmp_path / "README.txt").touch()
    samples = load_samples(tmp_path, [X])
    np.testing.assert_array_equal(samples.arrays["x"], DATA[[0, 2, 3, 4, 9]], strict=True)


@pytest.mark.parametrize(
    ("given", "taken", "note"),
    [
        (DATA.astype(np.float64), X, "was cast from float64 to float32"),
        (DATA.astype(np.float16), X, "was cast from float16 to float32"),
        (DATA, X.with_dtype("float16"), "was cast from float32 to float16"),
        (np.ones((4, 2), np.int32), IDS, "was cast from int32 to int64"),
        (np.ones((4, 2), np.uint8), IDS, "was cast from uint8 to int64"),
    ],
)
def test_a_harmless_cast_is_made_and_said(tmp_path: Path, given: np.ndarray, taken: TensorSpec, note: str) -> None:
    samples = load_samples(_npy(tmp_path, given), [taken])
    assert samples.arrays[taken.name].dtype == taken.numpy_dtype
    np.testing.assert_array_equal(samples.arrays[taken.name], given)
    assert len(samples.notes) == 1
    assert note in samples.notes[0]


def test_big_endian_and_fortran_order_become_native(tmp_path: Path) -> None:
    array = load_samples(_npy(tmp_path, np.asfortranarray(DATA.astype(">f4"))), [X]).arrays["x"]
    assert array.dtype.isnative
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, DATA)


@pytest.mark.parametrize(
    ("array", "spec", "problem"),
    [
        (DATA[0], X, "has rank 1"),
        (DATA[None], X, "has rank 3"),
        (DATA[:, :2], X, "axis 1 of array 'x' .* has size 2"),
        (DATA[:0], X, "has no samples"),
        (DATA.astype(np.uint8), X, "has dtype uint8"),
        (DATA.astype(np.complex64), X, "has dtype complex64"),
        (DATA.astype("U3"), X, "has dtype <U3"),
        (np.ones((4, 2), np.float32), IDS, "has dtype float32"),
        (np.ones((4, 2), np.uint64), IDS, "has dtype uint64"),
        (np.where(DATA == 10, np.nan, DATA), X, "sample 3 of array 'x' .* not finite"),
        (np.where(DATA == 10, 1e300, DATA.astype(np.float64)), X, "sample 3 of array 'x' .* not finite in float32"),
    ],
)
def test_an_array_that_does_not_fit_is_named(tmp_path: Path, array: np.ndarray, spec: TensorSpec, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        load_samples(_npy(tmp_path, array), [spec])
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"y": DATA}, "has no array 'x'. it has y"),
        ({"x": DATA, "labels": np.arange(9)}, r"labels of .* have shape \(9,\)"),
        ({"x": DATA, "labels": np.zeros((10, 2))}, "labels of"),
    ],
)
def test_an_npz_that_does_not_fit_is_named(tmp_path: Path, arrays: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        load_samples(_npz(tmp_path, **arrays), [X])


def test_inputs_must_have_equally_many_samples(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"different sample counts: {'x': 10, 'ids': 4}"):
        load_samples(_npz(tmp_path, x=DATA, ids=np.ones((4, 2), np.int64)), [X, IDS])


def test_a_shared_symbol_beyond_the_batch_must_agree(tmp_path: Path) -> None:
    width = Axis(1, 2, 9, "w")
    specs = [TensorSpec(n, "float32", (BATCH, width)) for n in "ab"]
    one, two = np.zeros((3, 4), np.float32), np.zeros((3, 5), np.float32)
    load_samples(_npz(tmp_path, a=one, b=one), specs)
    with pytest.raises(InputError, match=r"'w' is 5 in 'b' .* and 4 elsewhere"):
        load_samples(_npz(tmp_path, a=one, b=two), specs)


def test_a_directory_of_unlike_or_no_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no \.npy file and no image"):
        load_samples(tmp_path, [X])
    np.save(tmp_path / "a.npy", DATA[0])
    np.save(tmp_path / "b.npy", DATA[0].astype(np.float64))
    with pytest.raises(InputError, match=r"b\.npy has dtype float64 and a\.npy has float32"):
        load_samples(tmp_path, [X])
    np.save(tmp_path / "b.npy", DATA[0, :2])
    with pytest.raises(InputError, match=r"b\.npy has shape \(2,\)"):
        load_samples(tmp_path, [X])
    np.save(tmp_path / "a.npy", np.float32(1))
    np.save(tmp_path / "b.npy", np.float32(1))
    with pytest.raises(InputError, match="has rank 0"):
        load_samples(tmp_path, [X])


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"<html>", b"\x80\x04."])
def test_a_damaged_file_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as caught:
        load_samples(tmp_path / name, [X])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_pickle_is_refused(tmp_path: Path, name: str) -> None:
    evil = np.array([{}], dtype=object)
    (np.save if name.endswith("y") else np.savez)(tmp_path / name, evil)
    if name.endswith("z"):
        np.savez(tmp_path / name, x=evil)
    with pytest.raises(InputError, match="cannot be read"):
        load_samples(tmp_path / name, [X])


def test_a_missing_path_and_an_unknown_ending_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not exist"):
        load_samples(tmp_path / "gone.npz", [X])
    (tmp_path / "a.csv").touch()
    with pytest.raises(InputError, match="unknown ending"):
        load_samples(tmp_path / "a.csv", [X])
