"""The spatial transformer against equations 1 and 5 of Jaderberg 2015 in NumPy FP64, for each of its transforms."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from attnexport.models.attention.spatial_transformer import SpatialTransformer


def localisation(channels: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 5), nn.Tanh())


def fold_border(position: float, size: int, mode: str, align_corners: bool) -> float:
    """Bring a coordinate in pixels back into the image, as ``padding_mode`` says."""
    if mode == "border":
        return min(max(position, 0.0), size - 1.0)
    if mode == "reflection":
        low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
        if span == 0:
            return 0.0
        inside = (position - low) % (2 * span)
        inside = 2 * span - inside if inside > span else inside
        return min(max(inside + low, 0.0), size - 1.0)
    return position


def cubic(t: float) -> float:
    """Keys' kernel with a = -0.75."""
    t, a = abs(t), -0.75
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def kernel(mode: str, distance: float) -> float:
    if mode == "bilinear":
        return max(0.0, 1 - abs(distance))
    return cubic(distance)


Source = Callable[[float, float], tuple[float, float]]
"""From a place in the target to the place in the source that it is read from."""


def affine(theta: np.ndarray) -> Source:
    return lambda x, y: tuple(theta @ [x, y, 1.0])


def projective(theta: np.ndarray) -> Source:
    def source(x: float, y: float) -> tuple[float, float]:
        u, v, w = theta @ [x, y, 1.0]
        return u / w, v / w

    return source


def thin_plate_spline(theta: np.ndarray) -> Source:
    """Bookstein's system for the control points of a square lattice, solved for these places."""
    side = math.isqrt(len(theta))
    lattice = np.linspace(-1, 1, side)
    control = np.array([(x, y) for y in lattice for x in lattice])

    def bend(x: float, y: float, k: int) -> float:
        r = math.hypot(x - control[k, 0], y - control[k, 1])
        return r**2 * math.log(r) if r > 0 else 0.0

    count = len(theta)
    system = np.zeros((count + 3, count + 3))
    for i, (x, y) in enumerate(control):
        for k in range(count):
            system[i, k] = bend(x, y, k)
        system[i, count:] = system[count:, i] = 1, x, y
    weights = np.linalg.solve(system, np.concatenate([theta, np.zeros((3, 2))]))

    def source(x: float, y: float) -> tuple[float, float]:
        terms = [bend(x, y, k) for k in range(count)] + [1, x, y]
        return tuple(np.array(terms) @ weights)

    return source


SOURCES = {"affine": affine, "projective": projective, "thin_plate_spline": thin_plate_spline}
SHAPES = {"affine": (2, 3), "projective": (3, 3), "thin_plate_spline": (16, 2)}


def reference(
    u: np.ndarray, sources: list[Source], size: tuple[int, int], mode: str, padding: str, align: bool
) -> np.ndarray:
    n, c, height, width = u.shape
    v = np.zeros((n, c, *size))

    def pixel(b: int, row: int, column: int) -> np.ndarray:
        if padding != "zeros":
            row = int(fold_border(row, height, padding, align))
            column = int(fold_border(column, width, padding, align))
        inside = 0 <= row < height and 0 <= column < width
        return u[b, :, row, column] if inside else np.zeros(c)

    def normalised(i: int, count: int) -> float:
        if align:
            return 2 * i / (count - 1) - 1 if count > 1 else 0.0
        return (2 * i + 1) / count - 1

    def denormalised(position: float, count: int) -> float:
        return (position + 1) / 2 * (count - 1) if align else ((position + 1) * count - 1) / 2

    for b in range(n):
        for i in range(size[0]):
            for j in range(size[1]):
                x_s, y_s = sources[b](normalised(j, size[1]), normalised(i, size[0]))
                x, y = denormalised(x_s, width), denormalised(y_s, height)
                if mode != "bicubic":
                    x, y = fold_border(x, width, padding, align), fold_border(y, height, padding, align)
                if mode == "nearest":
                    v[b, :, i, j] = pixel(b, round(y), round(x))
                    continue
                for row in range(math.floor(y) - 1, math.floor(y) + 3):
                    for column in range(math.floor(x) - 1, math.floor(x) + 3):
                        v[b, :, i, j] += kernel(mode, y - row) * kernel(mode, x - column) * pixel(b, row, column)
    return v


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("transform", ["affine", "projective", "thin_plate_spline"])
@pytest.mark.parametrize(("shape", "size"), [((2, 3, 5, 7), None), ((1, 2, 6, 4), (3, 5))])
def test_follows_the_formula(shape, size, transform, mode, padding_mode, align_corners, randomised, draw):
    if transform == "thin_plate_spline":
        size = size or shape[2:]
    module = SpatialTransformer(
        localisation(shape[1]),
        5,
        transform=transform,
        size=size,
        mode=mode,
        padding_mode=padding_mode,
        align_corners=align_corners,
    )
    randomised(module)
    x = draw(*shape)
    theta = module.theta(x).detach().numpy()
    assert theta.shape == (shape[0], *SHAPES[transform])
    grid = module.grid(x).abs()
    assert grid.max() > 1, "nothing is read from outside of the image"
    assert grid.min() < 1, "nothing is read from inside of the image"
    sources = [SOURCES[transform](t) for t in theta]
    expected = reference(x.numpy(), sources, size or shape[2:], mode, padding_mode, align_corners)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_projective_matrix_with_the_last_row_0_0_1_is_the_affine_one(align_corners, randomised, draw):
    affine = randomised(SpatialTransformer(localisation(3), 5, align_corners=align_corners))
    module = SpatialTransformer(localisation(3), 5, transform="projective", align_corners=align_corners)
    randomised(module)
    module.localisation = affine.localisation
    with torch.no_grad():
        module.regressor.weight[:6], module.regressor.bias[:6] = affine.regressor.weight, affine.regressor.bias
        module.regressor.weight[6:], module.regressor.bias[6:] = 0, 0
    x = draw(2, 3, 5, 7)
    torch.testing.assert_close(module(x), affine(x), rtol=0, atol=1e-12)


def test_theta_is_the_regression_of_what_the_localisation_net_finds(randomised, draw):
    module = randomised(SpatialTransformer(localisation(3), 5))
    x = draw(2, 3, 5, 7)
    features = module.localisation(x).detach().numpy()
    weight, bias = (p.detach().numpy() for p in (module.regressor.weight, module.regressor.bias))
    expected = (features @ weight.T + bias).reshape(2, 2, 3)
    np.testing.assert_allclose(module.theta(x).detach().numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("transform", ["affine", "projective", "thin_plate_spline"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_an_untrained_module_returns_its_input(align_corners, transform, draw):
    options = {"transform": transform, "size": (6, 5), "points": 3, "align_corners": align_corners}
    module = SpatialTransformer(localisation(3), 5, **options).double()
    x = draw(2, 3, 6, 5)
    torch.testing.assert_close(module(x), x, rtol=0, atol=1e-13)


@pytest.mark.parametrize("transform", ["affine", "projective", "thin_plate_spline"])
def test_gradients_reach_the_input_and_the_localisation_net(transform, randomised, draw, gradcheck):
    module = SpatialTransformer(localisation(2), 5, transform=transform, size=(4, 3), points=2)
    assert gradcheck(randomised(module), draw(2, 2, 4, 3))


@pytest.mark.parametrize(
    ("transform", "size"),
    [
        ("affine", None),
        ("affine", (4, 6)),
        ("projective", None),
        ("projective", (4, 6)),
        ("thin_plate_spline", (4, 6)),
    ],
)
def test_exports_with_a_free_batch_axis(size, transform, randomised, draw, exported):
    module = randomised(SpatialTransformer(localisation(3), 5, transform=transform, size=size))
    program = exported(module, draw(3, 3, 5, 7))
    for batch in (1, 3, 16):
        x = draw(batch, 3, 5, 7)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": "rigid"}, "transform 'rigid' is not one of affine, projective, thin_plate_spline"),
        ({"transform": "thin_plate_spline"}, "a thin_plate_spline needs the size of its output"),
        (
            {"transform": "thin_plate_spline", "size": (4, 4), "points": 1},
            "1 control points to a side do not span an image",
        ),
        ({"mode": "linear"}, "mode 'linear' is not one of bilinear, nearest, bicubic"),
        ({"padding_mode": "wrap"}, "padding_mode 'wrap' is not one of zeros, border, reflection"),
    ],
)
def test_refuses_an_unknown_option(options, message):
    with pytest.raises(ValueError, match=message):
        SpatialTransformer(localisation(3), 5, **options)
