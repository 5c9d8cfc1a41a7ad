"""torch.atan2: every octant, the signs of zeros, infinities and NaN, and an error that is not twice PyTorch's."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from attnexport.runtime.sessions.ort import OrtSession

SPECIAL = (0.0, -0.0, 1.0, -1.0, 1e-30, -1e-30, 1e30, -1e30, float("inf"), -float("inf"), float("nan"))


class Angle(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, y, x):
        return torch.atan2(y.to(self.dtype), x.to(self.dtype)).float()


@pytest.fixture
def angle(entered):
    """The exported atan2 of two vectors of any length."""
    model = entered(Angle(), "y=8", "x=8", dynamic=("y:0=n=1:8:100000", "x:0=n")).captured.model
    with OrtSession(model.SerializeToString()) as session:
        yield lambda y, x: next(iter(session.run({"y": y, "x": x}).values()))


def test_every_pair_of_special_values_has_numpys_angle_and_sign(angle):
    y, x = (np.array(values, np.float32) for values in zip(*product(SPECIAL, SPECIAL), strict=True))
    got, true = angle(y, x), np.arctan2(y, x)
    np.testing.assert_allclose(got, true, rtol=2e-7, atol=1e-37)
    np.testing.assert_array_equal(np.sign(got), np.sign(true))


@pytest.mark.parametrize("high", [1.0, -0.5], ids=["all", "left"])
def test_the_error_is_less_than_one_and_a_half_of_pytorchs(angle, high):
    random = np.random.default_rng(0)
    y, x = random.uniform(-1, 1, 50_000).astype(np.float32), random.uniform(-1, high, 50_000).astype(np.float32)
    true = np.arctan2(y.astype(np.float64), x.astype(np.float64))

    def rms(got):
        return float(np.sqrt(((got - true) ** 2).mean()))

    assert rms(angle(y, x)) < 1.5 * rms(torch.atan2(torch.from_numpy(y), torch.from_numpy(x)).numpy())


def test_fp16_keeps_its_type(parity):
    assert parity(Angle(torch.float16), "y=2x5", "x=5") < 2e-3
