"""Inverses, solutions and determinants of small matrices, against torch in FP64, with zeros where the first pivot would be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attnexport.errors import UnsupportedModelError
from attnexport.export.stages.rewrite import find_windows
from attnexport.runtime.sessions.ort import OrtSession

FREE = ("a:0=1:2:5",)


def regular(a: Tensor) -> Tensor:
    """No matrix near a singular one, and not one whose first pivot is the diagonal's."""
    n = a.shape[-1]
    return a + 4 * torch.eye(n).flip(0).to(a)


class Inverse(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, a: Tensor) -> Tensor:
        a = regular(a)
        return {"linalg": torch.linalg.inv, "torch": torch.inverse, "method": Tensor.inverse}[self.how](a)


class Solved(nn.Module):
    def __init__(self, left: bool = True) -> None:
        super().__init__()
        self.left = left

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.solve(regular(a), b, left=self.left)


class Determinants(nn.Module):
    def forward(self, a: Tensor) -> tuple[Tensor, ...]:
        a = regular(a)
        sign, size = torch.linalg.slogdet(a)
        return torch.linalg.det(a), a.det(), sign, size


@pytest.mark.parametrize("size", range(1, 9))
def test_inverses_of_each_size(size: int, parity: Any) -> None:
    assert parity(Inverse("linalg"), f"a=2x{size}x{size}", dynamic=FREE) < 2e-6


@pytest.mark.parametrize("how", ["torch", "method"])
def test_each_spelling_of_an_inverse(how: str, parity: Any) -> None:
    assert parity(Inverse(how), "a=2x3x4x4", dynamic=FREE) < 2e-6


@pytest.mark.parametrize(
    ("a", "b", "left"),
    [
        ("2x3x3", "2x3x5", True),
        ("2x3x3", "2x5x3", False),
        ("2x4x4", "2x4", True),
        ("4x4", "4", True),
        ("2x6x3x3", "1x3x2", True),
        ("2x8x8", "2x8x1", True),
    ],
)
def test_systems(a: str, b: str, left: bool, parity: Any) -> None:
    assert parity(Solved(left), f"a={a}", f"b={b}") < 2e-6


def test_a_free_batch_of_vectors(parity: Any) -> None:
    assert parity(Solved(), "a=2x3x3", "b=2x3", dynamic=(*FREE, "b:0=1:2:5")) < 2e-6


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_determinants(size: int, parity: Any) -> None:
    assert parity(Determinants(), f"a=2x{size}x{size}", dynamic=FREE) < 2e-6


def test_a_zero_where_the_pivot_would_be_and_a_singular_matrix(entered: Any) -> None:
    class Plain(nn.Module):
        def forward(self, a: Tensor) -> tuple[Tensor, Tensor]:
            return torch.linalg.inv(a), torch.linalg.det(a)

    model = find_windows(entered(Plain(), "a=2x2x2", dynamic=FREE).captured.model).model
    a = np.array([[[0, 2], [4, 0]], [[1e-8, 1], [1, 1]], [[1, 2], [2, 4]]], np.float32)
    inverse, determinant = OrtSession(model.SerializeToString()).run({"a": a}).values()
    np.testing.assert_allclose(inverse[:2], np.linalg.inv(a[:2].astype(np.float64)), rtol=1e-6, atol=1e-7)
    assert not np.isfinite(inverse[2]).all()
    np.testing.assert_allclose(determinant, [-8, -1, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "dynamic", "message"),
    [
        (("a=2x9x9",), (), "a linear system of 9 x 9 is not exported, only up to 8 x 8"),
        (("a=2x6x6",), ("input:1=n=2:6:8", "input:2=n"), "a linear system of a free size is not exported"),
    ],
)
def test_large_and_free_systems_are_refused(
    inputs: tuple[str, ...], dynamic: tuple[str, ...], message: str, entered: Any
) -> None:
    class Alone(nn.Module):
        def forward(self, a: Tensor) -> Tensor:
            return torch.linalg.inv(a)

    with pytest.raises(UnsupportedModelError, match=message) as caught:
        entered(
            nn.Sequential(nn.Identity(), Alone()), *(text.replace("a", "input", 1) for text in inputs), dynamic=dynamic
        )
    assert ", in module '1' (Alone) at " in str(caught.value)
    assert "test_linear_systems.py:" in str(caught.value)
