"""Ranges compared with NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import InputError, StageError
from attnexport.export.quantise.calibrate import ranges

TENSORS = ["x", "r", "p", "h", "s"]


def test_minmax_is_the_largest_magnitude(index, feeds, run, tapped) -> None:
    got = ranges(index.model, TENSORS, feeds, "minmax")
    held = [{**run(tapped(index.model, TENSORS[1:]), feed), **feed} for feed in feeds]
    assert got == {name: float(max(np.abs(one[name]).max() for one in held)) for name in TENSORS}


def test_percentile_is_numpys(index, feeds, run, tapped, capfd) -> None:
    got = ranges(index.model, TENSORS, feeds, "percentile")
    assert capfd.readouterr() == ("", ""), "ONNX Runtime prints a line for each batch"
    held = [{**run(tapped(index.model, TENSORS[1:]), feed), **feed} for feed in feeds]
    for name in TENSORS:
        values = np.abs(np.concatenate([one[name].ravel() for one in held]))
        step = 2 * values.max() / 2048  # ONNX Runtime counts in bins
        assert np.mean(values <= got[name] + step) >= 0.9999, name
        assert np.mean(values <= got[name] - 2 * step) < 0.9999, name


def test_a_tensor_that_is_never_anything_has_no_range(made, feeds) -> None:
    model = made(
        "net (float[N,3,8,8] x) => (float[N,3,8,8] y) { z = Mul(x, zero)  y = Relu(z) }", {"zero": np.zeros(1, "f4")}
    )
    for method in ("minmax", "percentile"):
        got = ranges(model, ["x", "z"], feeds, method)
        assert got["z"] == 0.0
        assert got["x"] > 2.0


def test_refusals(index, feeds, made) -> None:
    with pytest.raises(InputError, match=r"--calibration mean is not known\. use one of minmax, percentile"):
        ranges(index.model, TENSORS, feeds, "mean")
    with pytest.raises(InputError, match="there are no inputs to calibrate on"):
        ranges(index.model, TENSORS, [], "minmax")
    model = made("net (float[N,3,8,8] x) => (float[N,3,8,8] y) { z = Log(x)  y = Relu(z) }", {})
    with pytest.raises(StageError, match="tensor 'z' is not finite on a calibration sample"):
        ranges(model, ["z"], feeds, "minmax")
