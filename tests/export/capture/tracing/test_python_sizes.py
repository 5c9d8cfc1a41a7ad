"""Sizes that go through Python's int() and len() stay free: Swin's window_reverse above all."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import sympy
import torch
from torch import Tensor, nn
from torch.utils._sympy.functions import FloatTrueDiv, FloorDiv, ToFloat

from attnexport.export.capture.tracing.python_sizes import IntOfSize, exact, len_of_size, python_sizes
from attnexport.export.capture.tracing.trace import FixedAxisError

FREE = ("x:0=1:2:5",)


def window_reverse(windows: Tensor, size: int, height: int, width: int) -> Tensor:
    """As the Swin transformer's authors wrote it, and those of most networks that have windows."""
    batch = int(windows.shape[0] / (height * width / size / size))
    x = windows.view(batch, height // size, width // size, size, size, -1)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(batch, height, width, -1)


class Windows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(36, 36)

    def forward(self, x: Tensor) -> Tensor:
        _, c, h, w = x.shape
        parts = x.unflatten(2, (h // 6, 6)).unflatten(4, (w // 6, 6)).permute(0, 2, 4, 1, 3, 5).flatten(4).flatten(0, 2)
        mixed = self.mix(parts).transpose(1, 2).reshape(-1, 6, 6, c)
        return window_reverse(mixed, 6, h, w).permute(0, 3, 1, 2)


class Masked(Windows):
    """Two inputs of one batch, of which torch.export wants the shapes proved."""

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        return super().forward(x) * keep[:, None, None, None]


class Plain(nn.Module):
    """Each size through ``map(int, ...)``, and asked whether it is one."""

    def forward(self, x: Tensor) -> Tensor:
        n, c = map(int, x.shape)
        assert isinstance(n, int) and not isinstance(x, int)
        return x.reshape(n * c).reshape(n, c) * int("3") + int.from_bytes(b"\1", "big")


class Lengths(nn.Module):
    """Of a tensor, of a list of them, and of a tensor that is a number."""

    def forward(self, x: Tensor) -> Tensor:
        parts = [x, x + 1]
        with pytest.raises(TypeError, match="0-d"):
            len(x.sum())
        return torch.cat(parts).reshape(len(parts), len(x), -1).sum(0) * len("four")


class Half(nn.Module):
    """No whole quotient: half of a length, rounded down."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : int(x.shape[1] * 0.5)]


class Written(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(int(x.shape[0] / 1), 2, 4).reshape(2, 2, 4) + 1


def test_the_windows_of_swin_are_undone_for_each_batch(parity: Any) -> None:
    assert parity(Windows(), "x=2x4x12x18", dynamic=FREE) < 1e-6


def test_the_batch_of_two_inputs_stays_free_and_is_read_from_one(parity: Any, entered: Any) -> None:
    free = ("x:0=n=1:2:5", "keep:0=n")
    assert parity(Masked(), "x=2x4x12x18", "keep=2", dynamic=free) < 1e-6
    assert not {"Div", "Floor", "Cast"} & {
        node.op_type for node in entered(Masked(), "x=2x4x12x18", "keep=2", dynamic=free).captured.model.graph.node
    }


def test_sizes_through_int_alone(parity: Any) -> None:
    assert parity(Plain(), "x=2x4", dynamic=FREE) < 1e-6


def test_the_length_of_a_tensor_is_its_first_size(parity: Any) -> None:
    assert parity(Lengths(), "x=2x4", dynamic=FREE) < 1e-6
    assert (len_of_size(torch.ones(3, 2)), len_of_size("ab"), len_of_size({1: 2})) == (3, 2, 1)


def test_a_quotient_that_is_not_whole_is_truncated(parity: Any) -> None:
    assert parity(Half(), "x=2x7", dynamic=("x:1=5:7:12",)) == 0


def test_a_batch_that_is_written_as_a_number_is_refused_as_before(entered: Any) -> None:
    with pytest.raises(FixedAxisError, match="fixes axis 0 of 'x' at 2") as caught:
        entered(Written(), "x=2x8", dynamic=FREE)
    assert caught.value.axes == (("x", 0, 2),)


def test_int_and_len_are_python_s_again_afterwards() -> None:
    names = Windows.forward.__globals__
    assert not {"int", "len"} & set(names)
    with pytest.raises(RuntimeError, match="in between"), python_sizes(Windows()):
        assert (names["int"], names["len"]) == (IntOfSize, len_of_size)
        assert "int" not in vars(torch.nn)
        raise RuntimeError("in between")
    assert not {"int", "len"} & set(names)


def test_a_file_under_two_names_is_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Alias(nn.Module):
        pass

    monkeypatch.setitem(sys.modules, "another_name", sys.modules[__name__])
    monkeypatch.setattr(Alias, "__module__", "another_name")
    names = Windows.forward.__globals__
    with python_sizes(nn.Sequential(Windows(), Alias())):
        assert names["int"] is IntOfSize
    assert "int" not in names


def test_a_file_s_own_int_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = float
    monkeypatch.setitem(Windows.forward.__globals__, "int", own)
    with python_sizes(Windows()):
        assert Windows.forward.__globals__["int"] is own


N = sympy.Symbol("n", integer=True, positive=True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (FloatTrueDiv(ToFloat(4 * N), sympy.Float(4.0)), N),
        (FloatTrueDiv(FloatTrueDiv(ToFloat(12 * N), sympy.Float(2.0)), sympy.Float(3.0)), 2 * N),
        (FloatTrueDiv(ToFloat(N * N * 6), ToFloat(3 * N)), 2 * N),
        (FloatTrueDiv(ToFloat(3 * N), sympy.Float(4.0)), 3 * N / 4),
        (ToFloat(N) * sympy.Float(0.5), sympy.Float(0.5) * N),
        (FloatTrueDiv(ToFloat(4 * FloorDiv(N, 3)), sympy.Float(2.0)), 2 * FloorDiv(N, 3)),
    ],
)
def test_exact_quotients(expression: Any, expected: Any) -> None:
    assert sympy.simplify(exact(expression) - expected) == 0
    assert bool(exact(expression).is_integer) == bool(expected.is_integer)


def test_what_is_an_int_is_answered_as_by_int() -> None:
    assert isinstance(3, IntOfSize) and isinstance(True, IntOfSize) and not isinstance(3.0, IntOfSize)
    assert issubclass(bool, IntOfSize) and not issubclass(float, IntOfSize)
    kinds = [type(value) for value in (3, 3.0)]
    assert [IntOfSize == kind for kind in kinds] == [True, False]
    assert {int: "whole", float: "real"}[IntOfSize] == "whole"


def test_numbers_that_are_plain_are_int_s() -> None:
    assert (IntOfSize(3.9), IntOfSize("7"), IntOfSize(), IntOfSize("11", base=2)) == (3, 7, 0, 3)
    assert type(IntOfSize(True)) is int
