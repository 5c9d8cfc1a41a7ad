"""Checks of whole tensors: their values where they are read, nothing where they are checks alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attnexport.export.stages.rewrite import find_windows
from attnexport.runtime.sessions.ort import OrtSession


class Read(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ops.aten._is_all_true(x > 0), torch.ops.aten._is_any_true(x > 0)


class Checked(nn.Module):
    """As transformers' detectors check that the sizes of their levels add up."""

    def forward(self, x: Tensor) -> Tensor:
        sizes = torch.tensor([[2, 2], [1, 3]])
        torch._check_tensor_all((sizes[:, 0] * sizes[:, 1]).sum() == x.shape[1])
        return x * 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2], (True, True)), ([1, -2], (False, True)), ([-1, -2], (False, False)), ([], (True, False))],
)
def test_all_and_any(values: list[float], expected: tuple[bool, bool], entered: Any) -> None:
    found = entered(Read(), "x=2x2", dynamic=("x:0=1:2:5",))
    x = np.array(values, np.float32).reshape(-1, 1).repeat(2, 1)
    got = OrtSession(find_windows(found.captured.model).model.SerializeToString()).run({"x": x})
    assert tuple(bool(value) for value in got.values()) == expected
    assert {value.shape for value in got.values()} == {()}


def test_a_check_leaves_nothing_in_the_graph(entered: Any) -> None:
    graph = entered(Checked(), "x=2x7", dynamic=("x:0=1:2:5",)).captured.model.graph
    assert [node.op_type for node in graph.node] == ["Mul"]
