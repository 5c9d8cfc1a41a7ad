"""BAM against the equations of Park 2018, and against the authors' published form, in NumPy FP64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.models.attention.bam import BAM


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


class Layers:
    """The layers of a module's sequential branch, by their index, applied in NumPy."""

    def __init__(self, module: torch.nn.Module, dilation: int) -> None:
        self.values = {name: v.detach().numpy() for name, v in module.state_dict().items()}
        self.dilation = dilation

    def linear(self, index: int, x: np.ndarray) -> np.ndarray:
        return x @ self.values[f"{index}.weight"].T + self.values[f"{index}.bias"]

    def conv(self, index: int, x: np.ndarray) -> np.ndarray:
        weight, bias = self.values[f"{index}.weight"], self.values[f"{index}.bias"]
        k, d = weight.shape[-1], self.dilation
        r = d * (k // 2)
        height, width = x.shape[-2:]
        padded = np.pad(x, ((0, 0), (0, 0), (r, r), (r, r)))
        out = np.zeros((x.shape[0], weight.shape[0], height, width))
        for a in range(k):
            for b in range(k):
                window = padded[:, :, a * d : a * d + height, b * d : b * d + width]
                out += np.einsum("oc,nchw->nohw", weight[:, :, a, b], window)
        return out + bias[:, None, None]

    def norm(self, index: int, x: np.ndarray) -> np.ndarray:
        def per_channel(name: str) -> np.ndarray:
            return self.values[f"{index}.{name}"].reshape(-1, *[1] * (x.ndim - 2))

        scaled = (x - per_channel("running_mean")) / np.sqrt(per_channel("running_var") + 1e-5)
        return scaled * per_channel("weight") + per_channel("bias")


def reference(f: np.ndarray, module: BAM, dilation: int, form: str) -> np.ndarray:
    mlp, convs = Layers(module.channel.mlp, dilation), Layers(module.spatial.convs, dilation)
    pooled = f.mean((2, 3))
    if form == "paper":
        channel = mlp.norm(3, mlp.linear(2, relu(mlp.linear(0, pooled))))
        hidden = relu(convs.conv(4, relu(convs.conv(2, relu(convs.conv(0, f))))))
        spatial = convs.norm(7, convs.conv(6, hidden))
        logits = channel[:, :, None, None] + spatial
    else:
        channel = mlp.linear(3, relu(mlp.norm(1, mlp.linear(0, pooled))))
        hidden = relu(convs.norm(1, convs.conv(0, f)))
        hidden = relu(convs.norm(4, convs.conv(3, hidden)))
        spatial = convs.conv(9, relu(convs.norm(7, convs.conv(6, hidden))))
        logits = channel[:, :, None, None] * spatial
    return f + sigmoid(logits) * f


@pytest.mark.parametrize("form", ["paper", "authors"])
@pytest.mark.parametrize(
    ("shape", "reduction", "dilation"), [((2, 8, 9, 6), 4, 4), ((1, 6, 4, 5), 2, 1), ((3, 4, 1, 1), 1, 2)]
)
def test_follows_the_formula(shape, reduction, dilation, form, randomised, draw):
    module = randomised(BAM(shape[1], reduction=reduction, dilation=dilation, form=form))
    x = draw(*shape)
    expected = reference(x.numpy(), module, dilation, form)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=0, atol=1e-10)


def test_the_paper_s_reduction_and_dilation_are_the_defaults():
    module = BAM(64)
    assert module.form == "paper"
    dilated = [conv for conv in module.spatial.convs if getattr(conv, "kernel_size", None) == (3, 3)]
    assert [(conv.out_channels, conv.dilation) for conv in dilated] == [(4, (4, 4))] * 2


@pytest.mark.parametrize("form", ["paper", "authors"])
def test_gradients(form, randomised, draw, gradcheck):
    assert gradcheck(randomised(BAM(4, reduction=2, dilation=2, form=form)), draw(2, 4, 3, 4))


@pytest.mark.parametrize("form", ["paper", "authors"])
def test_exports_with_a_free_batch_axis(form, randomised, draw, exported):
    module = randomised(BAM(8, reduction=4, form=form))
    program = exported(module, draw(3, 8, 6, 5))
    for batch in (1, 3, 16):
        x = draw(batch, 8, 6, 5)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 3}, "reduction 3 does not divide 8 channels"),
        ({"reduction": 0}, "reduction 0 does not divide 8 channels"),
        ({"dilation": 0}, "dilation 0 is not positive"),
        ({"form": "mine"}, "form 'mine' is not one of paper, authors"),
    ],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        BAM(8, **{"reduction": 4, **options})
