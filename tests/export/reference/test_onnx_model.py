"""The truth of a model that came as ONNX, against PyTorch in FP64."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as F

from attnexport.export.reference.onnx_model import OnnxOriginal

SPELLINGS = {
    16: {"bilinear": "bilinear", "bicubic": "bicubic", "nearest": "nearest"},
    18: {"bilinear": "bilinear", "bicubic": "bicubic", "nearest": "nearest"},
    20: {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"},
}


@pytest.mark.parametrize("opset", SPELLINGS)
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_grid_sample_is_read_in_the_spelling_of_every_opset(opset: int, mode: str) -> None:
    model = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["" : {opset}]>
    net (float[N, 2, 5, 7] x, float[N, 4, 4, 2] grid) => (float[N, 2, 4, 4] y) {{
        y = GridSample <mode = "{SPELLINGS[opset][mode]}", padding_mode = "border", align_corners = 1> (x, grid)
    }}""")
    draw = np.random.default_rng(1)
    feeds = {
        "x": draw.standard_normal((3, 2, 5, 7)).astype("f4"),
        "grid": draw.uniform(-0.8, 0.8, (3, 4, 4, 2)).astype("f4"),
    }
    got = OnnxOriginal(model).run(feeds, "float64")["y"]
    x, grid = (torch.from_numpy(feeds[name]).double() for name in ("x", "grid"))
    truth = F.grid_sample(x, grid, mode, "border", align_corners=True).numpy()
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, truth, rtol=1e-10, atol=1e-12)
