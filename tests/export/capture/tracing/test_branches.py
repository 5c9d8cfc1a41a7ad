"""What torch.export assumes of a free size is checked over its range: another branch is refused, and what has no consequence passes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from attnexport.export.capture.tracing.branches import OtherBranchError, check_branches, far
from attnexport.export.capture.tracing.trace import export_program
from attnexport.runtime.spec import Axis, TensorSpec


class Net(torch.nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def checked(function: Callable[[torch.Tensor], torch.Tensor], least: int = 4, most: int = 32) -> tuple[str, ...]:
    module = Net(function).eval()
    spec = TensorSpec("x", "float32", (Axis(1, 2, 4, "batch"), Axis(least, 16, most, "n"), Axis.fixed(6)))
    program = export_program(module, (spec,), [torch.randn(2, 16, 6)])
    return check_branches(program, module, (spec,))


def by_parity(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.shape[1] % 2 == 0 else x * 3


def by_length(x: torch.Tensor) -> torch.Tensor:
    return x.flip(1) if x.shape[1] > 8 else x


def by_area(x: torch.Tensor) -> torch.Tensor:
    return x + 1 if x.shape[0] * x.shape[1] < 100 else x


def same_either_way(x: torch.Tensor) -> torch.Tensor:
    return x + x if x.shape[1] % 3 == 1 else x * 2


def even_only(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(x.shape[0], 2, x.shape[1] // 2, 6).sum(1)


@pytest.mark.parametrize(
    ("function", "assumed", "at"),
    [
        (by_parity, "the traced one is for Mod(n, 2) = 0", "n = 5"),
        (by_length, "the traced one is for n > 8", "n = 4"),
        (by_area, "< 100", "n = 32"),
    ],
)
def test_another_branch_is_refused_with_a_size_and_the_line(
    function: Callable[[torch.Tensor], torch.Tensor], assumed: str, at: str
) -> None:
    with pytest.raises(OtherBranchError) as caught:
        checked(function)
    assert assumed in caught.value.problem and at in caught.value.problem
    line = function.__code__.co_firstlineno + 1
    assert f"test_branches.py:{line}" in caught.value.problem


def test_a_branch_that_no_size_of_the_range_takes_is_no_matter() -> None:
    assert checked(by_length, least=9) == ()
    assert checked(by_area, most=24) == ()


def test_branches_with_one_result_pass() -> None:
    assert checked(same_either_way) == ()


def test_sizes_that_the_module_does_not_take_are_named() -> None:
    (note,) = checked(even_only)
    assert note.startswith("the model itself does not run at every size of its free axes, such as batch = 2, n = 5: ")
    assert f"test_branches.py:{even_only.__code__.co_firstlineno + 1}" in note


@pytest.mark.parametrize(
    "function", [lambda x: x.softmax(-1), lambda x: x[:, : x.shape[1] // 2], lambda x: x.chunk(2, 2)[0]]
)
def test_without_a_branch_there_is_nothing_to_say(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert checked(function) == ()


@pytest.mark.parametrize(
    ("wanted", "got", "expected"),
    [
        (np.ones(4, np.float32), np.ones(4, np.float32), False),
        (np.ones(4, np.float32), np.ones((2, 2), np.float32), True),
        (np.ones(4, np.float32), np.full(4, 1.001, np.float32), False),
        (np.ones(4, np.float32), np.full(4, 1.1, np.float32), True),
        (np.full(4, 1j, np.complex64), np.full(4, -1j, np.complex64), True),
        (np.arange(4), np.arange(4)[::-1], False),
        (np.ones((0, 3), np.float32), np.ones((0, 3), np.float32), False),
    ],
)
def test_another_result_is_told_from_rounding(wanted: np.ndarray, got: np.ndarray, expected: bool) -> None:
    assert far(wanted, got) == expected
