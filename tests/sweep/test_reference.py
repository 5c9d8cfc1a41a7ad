"""The generator itself: every module in FP64 computes the formula that its NumPy reference states, with nothing exported."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from sweep.case import Case
from sweep.catalogue import SPELLINGS, build
from sweep.draw import cases


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_module_in_fp64_computes_the_formula(name: str) -> None:
    @settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(cases((name,)))
    def holds(case: Case) -> None:
        module = build(case)
        double = copy.deepcopy(module).double()
        for batch, sizes in case.trials():
            x = case.feed(batch, sizes)
            with torch.no_grad():
                got = double(torch.from_numpy(x).double()).numpy()
            truth = module.reference(x)
            assert got.shape == truth.shape
            assert np.isfinite(truth).all()
            np.testing.assert_allclose(got, truth, rtol=0, atol=1e-13 * max(1.0, np.abs(truth).max()))

    holds()
