"""The local relation layer against the formulas of Hu 2019 in NumPy FP64, pixel by pixel and channel by channel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.models.attention.local_relation import Geometry, LocalRelation

APPEARANCE = {
    "squared": lambda q, k: -((q - k) ** 2),
    "absolute": lambda q, k: -abs(q - k),
    "product": lambda q, k: q * k,
}


def reference(x: np.ndarray, module: LocalRelation, drawn: np.ndarray | None = None) -> np.ndarray:
    p = {name: v.detach().numpy() for name, v in module.named_parameters()}
    phi = APPEARANCE[module.composability]
    k, m, stride = module.kernel_size, module.share, module.stride
    r = k // 2
    n, channels, height, width = x.shape
    rows, columns = range(0, height, stride), range(0, width, stride)
    aggregated = np.zeros((n, channels, len(rows), len(columns)))

    def prior(group: int, dy: int, dx: int) -> float:
        position = np.array([dy, dx]) if drawn is None else drawn[dy + r, dx + r]
        hidden = np.maximum(p["geometry.hidden.weight"] @ position + p["geometry.hidden.bias"], 0)
        return float(p["geometry.out.weight"][group] @ hidden + p["geometry.out.bias"][group])

    def scalar(name: str, b: int, group: int, y: int, z: int) -> float:
        return float(p[f"{name}.weight"][group, :, 0, 0] @ x[b, :, y, z] + p[f"{name}.bias"][group])

    for b in range(n):
        for group in range(channels // m):
            for i, y in enumerate(rows):
                for j, z in enumerate(columns):
                    query = scalar("query", b, group, y, z)
                    logits, values = [], []
                    for dy in range(-r, r + 1):
                        for dx in range(-r, r + 1):
                            inside = 0 <= y + dy < height and 0 <= z + dx < width
                            key = scalar("key", b, group, y + dy, z + dx) if inside else 0.0
                            logits.append(phi(query, key) + prior(group, dy, dx))
                            shared = x[b, group * m : (group + 1) * m, y + dy, z + dx] if inside else np.zeros(m)
                            values.append(shared)
                    weights = np.exp(np.array(logits) - max(logits))
                    weights /= weights.sum()
                    aggregated[b, group * m : (group + 1) * m, i, j] = weights @ np.array(values)
    out = np.einsum("oc,nchw->nohw", p["out.weight"][:, :, 0, 0], aggregated)
    return out + p["out.bias"][:, None, None] if "out.bias" in p else out


@pytest.mark.parametrize("composability", ["squared", "absolute", "product"])
@pytest.mark.parametrize(
    ("shape", "out_channels", "options"),
    [
        ((2, 8, 5, 4), 8, {"kernel_size": 3, "share": 4}),
        ((1, 6, 4, 6), 10, {"kernel_size": 5, "share": 2, "stride": 2}),
        ((1, 4, 7, 5), 4, {"kernel_size": 3, "share": 4, "stride": 3, "geometry": Geometry(5)}),
        ((1, 8, 3, 3), 8, {"kernel_size": 7, "share": 8}),
        ((2, 4, 1, 2), 4, {"kernel_size": 1, "share": 1}),
    ],
)
def test_follows_the_formula(shape, out_channels, options, composability, randomised, draw):
    module = randomised(LocalRelation(shape[1], out_channels, composability=composability, **options))
    x = draw(*shape)
    np.testing.assert_allclose(module(x).detach().numpy(), reference(x.numpy(), module), rtol=0, atol=1e-10)


def test_the_re_implementation_differs_in_its_options(randomised, draw):
    options = {"composability": "product", "geometry": Geometry(1, "random"), "bias": True}
    module = randomised(LocalRelation(8, 6, kernel_size=3, share=4, **options))
    x = draw(2, 8, 5, 4)
    drawn = module.geometry.offsets.numpy()
    assert drawn.shape == (3, 3, 2)
    assert -1 <= drawn.min() < 0 < drawn.max() < 1
    assert module.geometry.hidden.out_features == 1
    np.testing.assert_allclose(module(x).detach().numpy(), reference(x.numpy(), module, drawn), rtol=0, atol=1e-10)


def test_random_positions_are_saved():
    module, other = (LocalRelation(8, 8, geometry=Geometry(positions="random")) for _ in range(2))
    assert not torch.equal(module.geometry.offsets, other.geometry.offsets)
    other.load_state_dict(module.state_dict())
    assert torch.equal(module.geometry.offsets, other.geometry.offsets)


def test_the_paper_s_window_and_sharing_are_the_defaults():
    module = LocalRelation(64, 64)
    assert (module.kernel_size, module.share, module.stride) == (7, 8, 1)
    assert module.query.out_channels == module.key.out_channels == 8


def test_the_positions_follow_the_module_s_dtype_and_are_not_saved():
    module = LocalRelation(8, 8)
    assert module.geometry.offsets.dtype == torch.float32
    assert module.double().geometry.offsets.dtype == torch.float64
    assert "geometry.offsets" not in module.state_dict()


@pytest.mark.parametrize("composability", ["squared", "absolute", "product"])
def test_gradients(composability, randomised, draw, gradcheck):
    module = LocalRelation(4, 4, kernel_size=3, share=2, composability=composability)
    assert gradcheck(randomised(module), draw(2, 4, 3, 2))


@pytest.mark.parametrize("stride", [1, 2])
def test_exports_with_a_free_batch_axis(stride, randomised, draw, exported):
    module = randomised(LocalRelation(8, 8, kernel_size=5, share=4, stride=stride))
    program = exported(module, draw(3, 8, 6, 5))
    for batch in (1, 3, 16):
        x = draw(batch, 8, 6, 5)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 2}, "kernel size 2 is not odd"),
        ({"share": 3}, "3 channels to a weight do not divide 8 channels"),
        ({"share": 0}, "0 channels to a weight do not divide 8 channels"),
        ({"stride": 0}, "stride 0 is not positive"),
        ({"composability": "cosine"}, "composability 'cosine' is not one of squared, absolute, product"),
        ({"geometry": Geometry(positions="sines")}, "positions 'sines' is not one of offsets, random"),
    ],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        LocalRelation(8, 8, **options)
