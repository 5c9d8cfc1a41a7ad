"""Tensor.unfold spelled out as a Gather is raised to Unfold exactly where it is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from attnexport.export.capture.from_onnx import from_onnx
from attnexport.export.lower import lower
from attnexport.export.quiet import quiet
from attnexport.export.raising import raise_windows
from attnexport.runtime.sessions.ort import OrtSession

Gathered = Callable[..., onnx.ModelProto]
X = np.random.default_rng(0).standard_normal((2, 2, 12, 14), dtype=np.float32)


class Twice(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.unfold(2, 3, 1).unfold(3, 4, 2)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    (y,) = OrtSession(model.SerializeToString()).run({"x": x}).values()
    return y


@pytest.mark.parametrize("axes", [(0,), (0, 2, 3)], ids=["free batch", "free height and width"])
def test_what_torch_onnx_writes_is_raised(axes: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "plain.onnx"
    free = dict.fromkeys(axes, torch.export.Dim.DYNAMIC)
    with quiet():
        torch.onnx.export(
            Twice(),
            (torch.randn(2, 3, 12, 14),),
            path,
            dynamo=True,
            verbose=False,
            input_names=["x"],
            dynamic_shapes=(free,),
        )
    captured = from_onnx(onnx.load(path))
    assert captured.kept == {"Unfold": 2}
    lowered = lower(captured.model, ("ort", "tensorrt")).model
    assert not {"Gather", "Range"} & {node.op_type for node in lowered.graph.node}
    for shape in [(3, 3, 12, 14), *([(1, 3, 9, 15)] if len(axes) > 1 else [])]:
        x = torch.randn(shape)
        np.testing.assert_array_equal(run(lowered, x.numpy()), Twice()(x).numpy())


@pytest.mark.parametrize("axis", [2, 3, -1])
@pytest.mark.parametrize("taps_first", [True, False])
@pytest.mark.parametrize(("size", "step"), [(3, 1), (4, 2), (2, 3)])
def test_a_window_matrix_of_either_orientation_is_raised(
    gathered: Gathered, axis: int, taps_first: bool, size: int, step: int
) -> None:
    count = (X.shape[axis] - size) // step + 1
    index = np.arange(size)[:, None] + step * np.arange(count)
    model = gathered(index if taps_first else index.T, axis)
    raised = raise_windows(model)
    assert raised.counts == {"Unfold": 1}
    expected = np.take(X, index if taps_first else index.T, axis)
    np.testing.assert_array_equal(run(lower(raised.model, ("ort", "tensorrt")).model, X), expected)


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (np.arange(3)[:, None] + np.arange(9), "its windows are not known to fill the axis"),
        (2 * np.arange(3)[:, None] + 3 * np.arange(3), "its windows are dilated or do not start at zero"),
        (1 + np.arange(3)[:, None] + np.arange(9), "its windows are dilated or do not start at zero"),
        (np.array([[0, 3, 1], [2, 2, 2]]), "its index does not rise evenly"),
    ],
    ids=["stops short", "dilated", "shifted", "a lookup"],
)
def test_any_other_gather_stays_with_the_reason(gathered: Gathered, index: np.ndarray, reason: str) -> None:
    model = gathered(index)
    raised = raise_windows(model)
    assert raised.counts == {}
    assert {entry.node: entry.reason for entry in raised.refused} == {"windows": reason}
    assert raised.model is model


def test_a_lookup_in_a_table_is_none_of_its_business(gathered: Gathered) -> None:
    raised = raise_windows(gathered(np.array([[4]])))
    assert (raised.counts, raised.refused) == ({}, ())
