"""Models with operators of the domain are opened at whatever opset they have."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as F

from attnexport.export.domain import DOMAIN, VERSION
from attnexport.export.verify.graphs import run_once, runnable

TEXT = """<ir_version: 10, opset_import: ["" : OPSET, "DOMAIN" : VERSION]>
net (float[N, 3, 6, 6] x, float[N, 5, 5, 2] grid) => (float[N, 27, 9] windows, float[N, 3, 5, 5] read) {
    read = DOMAIN.GridSample <mode = "MODE", padding_mode = "border", align_corners = 0> (x, grid)
    windows = DOMAIN.Im2Col <kernel = [3, 3], dilation = [1, 1], pads = [0, 0, 0, 0], stride = [1, 1]> (read)
}"""


@pytest.mark.parametrize("opset", [18, 19, 20, 21, 23])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_bodies_run_in_a_model_of_any_opset(opset: int, mode: str) -> None:
    text = TEXT.replace("OPSET", str(opset)).replace("DOMAIN", DOMAIN).replace("VERSION", str(VERSION))
    model = onnx.parser.parse_model(text.replace("MODE", mode))
    draw = np.random.default_rng(0)
    x = draw.standard_normal((2, 3, 6, 6)).astype("f4")
    grid = draw.uniform(-1.2, 1.2, (2, 5, 5, 2)).astype("f4")
    got = run_once(model, {"x": x, "grid": grid})
    read = F.grid_sample(
        torch.from_numpy(x).double(), torch.from_numpy(grid).double(), mode, "border", align_corners=False
    )
    np.testing.assert_allclose(got["read"], read.numpy(), atol=1e-4)
    np.testing.assert_allclose(got["windows"], F.unfold(read, 3).numpy(), atol=1e-4)
    prepared = runnable(model)
    assert {entry.domain: entry.version for entry in prepared.opset_import}[""] == opset
    assert not any(node.domain == DOMAIN for node in prepared.graph.node)
