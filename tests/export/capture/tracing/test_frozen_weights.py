"""A free batch stays free where a part of the input meets a frozen weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attnexport


class Recurrent(nn.Module):
    """A recurrent layer over the first two of four channels."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer = kind(2, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x[..., :2])[0]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_on_a_slice(kind: type[nn.RNNBase], tmp_path: Path) -> None:
    torch.manual_seed(3)
    module = Recurrent(kind).eval().requires_grad_(False)
    bundle = attnexport.export(
        module, {"x": torch.randn(2, 5, 4)}, dynamic={"x": {0: (1, 2, 5)}}, precision="fp32", out=tmp_path / "b.attn"
    )
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert [axis.dynamic for axis in bundle.inputs[0].axes] == [True, False, False]
    x = torch.randn(5, 5, 4)
    with bundle.open() as session:
        (result,) = session.run({"x": x.numpy()}).values()
    np.testing.assert_allclose(result, module.double()(x.double()).numpy(), rtol=1e-4, atol=1e-5)
