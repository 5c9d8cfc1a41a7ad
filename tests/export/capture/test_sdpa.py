"""scaled_dot_product_attention is one node, however it is called, and means what torch means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attnexport.errors import UnsupportedModelError
from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.export.domain import DOMAIN
from attnexport.export.lower import lower
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

BATCH, LENGTH = Axis(1, 2, 8, "batch"), Axis(2, 5, 20, "length")
TOKENS = TensorSpec("x", "float32", (BATCH, LENGTH, Axis.fixed(32)))
sdpa = F.scaled_dot_product_attention


class Step(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class Encoder(nn.Module):
    """nn.TransformerEncoder with a padding mask from the data, so that rows of keys are hidden."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(x, src_key_padding_mask=x[..., 0] > 1.5)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


def heads(x: torch.Tensor, count: int = 4) -> torch.Tensor:
    return x.reshape(x.shape[0], x.shape[1], count, -1).transpose(1, 2)


def lower_left(x: torch.Tensor) -> torch.Tensor:
    return torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()


def back(y: torch.Tensor) -> torch.Tensor:
    """A view, which the strides of torch's own kernel allow and those of its decomposition do not."""
    return y.transpose(1, 2).view(y.shape[0], y.shape[2], 32)


CASES = {
    "4-D, viewed": (Step(lambda x: back(sdpa(heads(x), heads(x) * 2, heads(x).sin()))), 1),
    "scale": (Step(lambda x: back(sdpa(heads(x), heads(x), heads(x), scale=0.1))), 1),
    "causal": (Step(lambda x: back(sdpa(heads(x), heads(x), heads(x), is_causal=True))), 1),
    "3-D": (Step(lambda x: sdpa(x, x, x)), 1),
    "3-D with a mask": (Step(lambda x: sdpa(x, x, x, lower_left(x))), 1),
    "5-D": (Step(lambda x: sdpa(*[heads(x).unflatten(1, (2, 2))] * 3).flatten(1, 2)), 1),
    "float mask of one head": (Step(lambda x: sdpa(*[heads(x)] * 3, attn_mask=x.mean(-1)[:, None, None])), 1),
    "bool mask with empty rows": (Step(lambda x: sdpa(*[heads(x)] * 3, attn_mask=(x[:, None, :, :1] > 0))), 1),
    "grouped": (Step(lambda x: sdpa(heads(x, 8), *[heads(x[..., :8], 2)] * 2, enable_gqa=True)), 1),
    "grouped in name only": (Step(lambda x: sdpa(*[heads(x)] * 3, enable_gqa=True)), 1),
    "multi-head attention": (SelfAttention(), 1),
    "encoder": (Encoder(), 2),
}


@pytest.mark.parametrize("case", CASES)
def test_one_node_that_means_what_torch_means(case) -> None:
    torch.manual_seed(0)
    module, count = CASES[case]
    module = module.eval()
    program = export_program(module, [TOKENS], [torch.randn(2, 5, 32)])
    captured = to_onnx(program, [TOKENS], ["y"])
    assert captured.kept == {"Sdpa": count}
    assert not {"Softmax", "IsNaN"} & {node.op_type for node in captured.model.graph.node}
    lowered = lower(captured.model, ["ort", "tensorrt"])
    assert [applied.lowering for applied in lowered.applied] == ["sdpa_decomposed"] * count
    for shape in [(2, 5, 32), (1, 9, 32)]:
        x = torch.randn(shape)
        with torch.no_grad():
            expected = module(x).numpy()
        with OrtSession(lowered.model.SerializeToString()) as session:
            y = session.run({"x": x.numpy()})["y"]
        assert y.shape == expected.shape
        np.testing.assert_allclose(y, expected, rtol=0, atol=2e-6)


def test_the_attributes() -> None:
    module = Step(lambda x: sdpa(heads(x, 8), *[heads(x[..., :8], 2)] * 2, is_causal=True, enable_gqa=True))
    captured = to_onnx(export_program(module, [TOKENS], [torch.randn(2, 5, 32)]), [TOKENS], ["y"])
    (node,) = (node for node in captured.model.graph.node if node.domain == DOMAIN)
    attributes = {entry.name: entry.i or entry.f for entry in node.attribute}
    assert attributes == {"causal": 1, "groups": 4, "scale": 0.5}
    assert len(node.input) == 3


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: sdpa(x, x, x, dropout_p=0.25), "drops 0.25 of its weights"),
        (lambda x: sdpa(*[x.transpose(1, 2)] * 3), "channel axis of free length"),
    ],
)
def test_what_is_refused(function, said) -> None:
    program = export_program(Step(function), [TOKENS], [torch.randn(2, 5, 32)])
    with pytest.raises(UnsupportedModelError, match=said):
        to_onnx(program, [TOKENS], ["y"])
