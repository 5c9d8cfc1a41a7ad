"""Memory borrowed and lent through DLPack, compared with NumPy and torch."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.sessions.dlpack import CPU, DeviceArray, _lent, borrow, on_device

torch = pytest.importorskip("torch")
DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3), (1,), (), (0, 4)])
def test_a_tensor_is_found_where_it_lies(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    for value in (array, torch.from_numpy(array)):
        found = borrow("x", value)
        assert (found.shape, found.dtype, found.nbytes) == (shape, np.dtype(dtype), array.nbytes)
        if array.size:
            assert found.address == array.ctypes.data


def test_a_slice_begins_where_it_begins() -> None:
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    for value in (array[2:], torch.from_numpy(array)[2:]):
        assert borrow("x", value).address == array.ctypes.data + 24


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.ones(2, 3).T, r"input 'x' is not contiguous \(strides \(1, 3\)\)\. give it with \.contiguous\(\)"),
        (
            torch.ones(2, dtype=torch.bfloat16),
            r"input 'x' has a type that NumPy does not have\. give float32 or float16",
        ),
        (torch.ones(2, requires_grad=True), r"input 'x' cannot be shared: .*gradient.*\. detach it"),
    ],
)
def test_what_cannot_be_read_in_place_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        borrow("x", value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_lent_is_the_same_memory_and_kept_while_anyone_looks(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    lent = DeviceArray(array.ctypes.data, array.shape, array.dtype, array, CPU)
    assert (lent.shape, lent.nbytes, lent.__dlpack_device__()) == ((2, 3), array.nbytes, (CPU, 0))
    by_numpy, by_torch = np.from_dlpack(lent), torch.from_dlpack(lent)
    np.testing.assert_array_equal(by_numpy, array, strict=True)
    np.testing.assert_array_equal(by_torch.numpy(), array, strict=True)
    assert by_numpy.ctypes.data == by_torch.data_ptr() == array.ctypes.data
    assert len(_lent) == 2
    unused = lent.__dlpack__()
    assert len(_lent) == 3
    del lent, unused
    gc.collect()
    assert len(_lent) == 2, "a capsule that nobody took gives its memory back"
    assert by_torch.tolist() == array.tolist()
    del by_numpy, by_torch
    gc.collect()
    assert len(_lent) == 0


def test_only_memory_of_a_gpu_counts_as_on_the_device() -> None:
    array = np.zeros(2, np.float32)
    assert not on_device(array)
    assert not on_device(torch.zeros(2))
    assert not on_device([1.0])
    assert on_device(DeviceArray(array.ctypes.data, (2,), array.dtype, array))
