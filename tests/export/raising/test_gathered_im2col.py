"""F.unfold spelled out by another exporter is raised to Im2Col exactly where it is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from torch import nn

from attnexport.export.capture.from_onnx import from_onnx
from attnexport.export.domain import DOMAIN
from attnexport.export.lower import lower
from attnexport.export.quiet import quiet
from attnexport.export.raising import raise_windows
from attnexport.runtime.sessions.ort import OrtSession

Spelled = Callable[..., onnx.ModelProto]
DYNAMIC = torch.export.Dim.DYNAMIC


class Unfold(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.unfold(x, (3, 2), padding=(1, 2), dilation=(1, 2), stride=(2, 1))


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    (y,) = OrtSession(model.SerializeToString()).run({"x": x}).values()
    return y


@pytest.mark.parametrize("exporter", ["dynamo", "dynamo, free height and width", "torchscript"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_what_torch_onnx_writes_is_raised_and_no_gather_of_windows_is_left(exporter: str, tmp_path: Path) -> None:
    path, x = tmp_path / "plain.onnx", torch.randn(2, 3, 12, 14)
    with quiet():
        if exporter == "torchscript":
            torch.onnx.export(
                Unfold(),
                (x,),
                path,
                dynamo=False,
                opset_version=18,
                input_names=["x"],
                dynamic_axes={"x": {0: "batch"}},
            )
        else:
            free = {0: DYNAMIC} if exporter == "dynamo" else {0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC}
            torch.onnx.export(
                Unfold(), (x,), path, dynamo=True, verbose=False, input_names=["x"], dynamic_shapes=(free,)
            )
    captured = from_onnx(onnx.load(path))
    assert captured.kept == {"Im2Col": 1}
    assert captured.notes == ()
    lowered = lower(captured.model, ("ort", "tensorrt")).model
    assert not {"Gather", "Range"} & {node.op_type for node in lowered.graph.node}
    sizes = [(12, 14), (9, 17)] if "free" in exporter else [(12, 14)]
    for high, wide in sizes:
        given_x = torch.randn(3, 3, high, wide)
        np.testing.assert_array_equal(run(lowered, given_x.numpy()), Unfold()(given_x).numpy())


@given(
    kernel=st.tuples(st.integers(2, 4), st.integers(2, 4)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    sizes=st.tuples(st.sampled_from([12, 13, "H"]), st.sampled_from([14, 15, "W"])),
    constant=st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_geometry_is_raised_to_the_operator_of_that_geometry(
    spelled: Spelled,
    kernel: tuple[int, int],
    dilation: tuple[int, int],
    stride: tuple[int, int],
    sizes: tuple[int | str, int | str],
    constant: bool,
) -> None:
    constant = constant and all(isinstance(size, int) for size in sizes)
    model = spelled(sizes=sizes, kernel=kernel, dilation=dilation, stride=stride, constant=constant)
    raised = raise_windows(model)
    assert raised.counts == {"Im2Col": 1}
    (node,) = [n for n in raised.model.graph.node if n.domain == DOMAIN]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    assert attributes == {"kernel": [*kernel], "dilation": [*dilation], "stride": [*stride], "pads": [0, 0, 0, 0]}
    assert node.name == "columns/im2col"
    x = np.random.default_rng(0).standard_normal(
        (2, 2, *(s if isinstance(s, int) else 13 for s in sizes)), dtype=np.float32
    )
    expected = F.unfold(torch.from_numpy(x), kernel, dilation, 0, stride).numpy()
    np.testing.assert_array_equal(run(model, x), expected)
    np.testing.assert_array_equal(run(lower(raised.model, ("ort", "tensorrt")).model, x), expected)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"short": 1}, "height: its windows are not known to fill the axis"),
        ({"short": 1, "constant": True}, "height: its windows are not known to fill the axis"),
        ({"short": -1, "sizes": ("H", "W"), "stride": (2, 2)}, "height: its windows are not known to fill the axis"),
        ({"start": 1}, "height: its windows do not start at zero"),
        ({"shape": [0, 0, 3, 3, -1]}, "its Reshape copies a size of the windows"),
    ],
)
def test_what_is_not_proved_stays_with_the_reason(spelled: Spelled, changes: dict[str, object], reason: str) -> None:
    model = spelled(**changes)
    raised = raise_windows(model)
    assert {entry.node: entry.reason for entry in raised.refused}["columns"] == reason
    assert "Im2Col" not in raised.counts


@pytest.mark.parametrize(
    "shape",
    [
        [0, 36, -1],
        [-1, 18, 240],
        [0, 2, 9, 10, 12],
        [-1, 2, 9, 120],
        [-1, 120],
        [0, 18, 10, 12],
        [-1, 18, 120],
        [2, -1, 120],
    ],
)
@pytest.mark.parametrize("constant", [True, False])
def test_a_reshape_to_other_axes_stays_behind_the_operator(spelled: Spelled, shape: list[int], constant: bool) -> None:
    model = spelled(shape=shape, constant=constant)
    raised = raise_windows(model)
    assert raised.counts == {"Im2Col": 1}
    kept = [node.op_type for node in raised.model.graph.node]
    assert kept == (["Im2Col"] if shape == [-1, 18, 120] else ["Im2Col", "Reshape"])
    x = np.random.default_rng(0).standard_normal((2, 2, 12, 14), dtype=np.float32)
    np.testing.assert_array_equal(run(lower(raised.model, ("ort", "tensorrt")).model, x), run(model, x))


def test_another_order_of_axes_is_no_im2col(spelled: Spelled) -> None:
    model = spelled(perm=(0, 1, 4, 2, 3, 5), sizes=(12, 14))
    raised = raise_windows(model)
    assert "Im2Col" not in raised.counts
    x = np.random.default_rng(0).standard_normal((2, 2, 12, 14), dtype=np.float32)
    np.testing.assert_array_equal(run(lower(raised.model, ("ort", "tensorrt")).model, x), run(model, x))
