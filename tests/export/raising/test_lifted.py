"""What is done to every tap is done once to all, whatever it does to the axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from attnexport.export.raising import raise_windows
from attnexport.runtime.sessions.ort import OrtSession

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2, 4, 9), np.float32), RNG.standard_normal((2, 4, 7), np.float32)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    "body",
    [
        "r{i} = Mul({s}, x1)",
        "m{i} = Sub(x1, {s}) r{i} = Abs(m{i})",
        "r{i} = Add({s}, c{i})",
        "m{i} = Mul({s}, x1) r{i} = ReduceSum<keepdims = 1>(m{i}, one)",
        "m{i} = Mul({s}, x1) n{i} = ReduceSum<keepdims = 0>(m{i}, two) r{i} = Unsqueeze(n{i}, one)",
        "m{i} = Mul({s}, x1) r{i} = ReduceMean<keepdims = 0>(m{i}, zero)",
        "m{i} = Transpose<perm = [2, 0, 1]>({s}) n{i} = Exp(m{i}) r{i} = Unsqueeze(n{i}, last)",
        "m{i} = Reshape({s}, heads) n{i} = Mul(m{i}, m{i}) r{i} = ReduceSum<keepdims = 0>(n{i}, two)",
        "m{i} = Mul({s}, x1) r{i} = Reshape(m{i}, flat)",
        "m{i} = Mul({s}, x1) r{i} = Reshape(m{i}, copy)",
        "m{i} = Unsqueeze({s}, zero) n{i} = Mul(m{i}, x1) r{i} = Squeeze(n{i}, zero)",
        "m{i} = Transpose<perm = [0, 2, 1]>({s}) r{i} = MatMul(x1, m{i})",
        'r{i} = Einsum<equation = "ncl,ncl->nl">({s}, x1)',
        "m{i} = Mul({s}, {s}) r{i} = Mul(m{i}, x1)",
    ],
)
def test_the_values_are_those_of_the_branches(branches: Any, agree: Any, body: str, axis: int) -> None:
    if "flat" in body or "Einsum" in body or "zero) r" in body:
        axis = min(axis, 1)
    model = branches(body, f"Concat<axis = {axis}>")
    (expected,) = OrtSession(model.SerializeToString()).run({"x0": X, "x1": Y}).values()
    raised = raise_windows(model)
    assert (raised.counts, raised.refused) == ({"Unfold": 1}, ())
    agree(raised.model, (X, Y), expected, 1e-5)
