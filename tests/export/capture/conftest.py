"""A small module through capture, recognising and lowering, its standard graph run and held to the module in FP64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from attnexport.export.progress import Silent
from attnexport.export.source import Source, SourceOptions
from attnexport.export.source.specs import forward_parameters, resolve
from attnexport.export.stages.entry import Entered, enter
from attnexport.export.stages.rewrite import Plan, find_windows, lower_for
from attnexport.runtime.inputs.feeds import profile_points, random_feeds
from attnexport.runtime.sessions.ort import OrtSession


def _entered(module: torch.nn.Module, *inputs: str, dynamic: tuple[str, ...] = ()) -> Entered:
    module.eval()
    specs, explicit = resolve(SourceOptions(inputs=inputs, dynamic=dynamic), forward_parameters(module.forward))
    source = Source("factory", None, "net", None, module, None, None, specs, explicit_dynamic=explicit)
    return enter(source, (), 0, Silent())


def _parity(module: torch.nn.Module, *inputs: str, dynamic: tuple[str, ...] = ()) -> float:
    """The largest error of any output, over the largest value of that output, at the smallest and largest sizes."""
    found = _entered(module, *inputs, dynamic=dynamic)
    lowered, _ = lower_for(
        find_windows(found.captured.model), Plan.of(None, None, "fp32"), found.inputs, False, Silent()
    )
    points = profile_points(found.inputs)
    worst = 0.0
    with OrtSession(lowered.model.SerializeToString()) as session:
        for _, sizes in (points[0], points[-1]):
            feeds = random_feeds(found.inputs, sizes, seed=1)
            truth, got = found.original.run(feeds, "float64"), session.run(feeds)
            assert list(truth) == list(got)
            for name, true in truth.items():
                assert true.shape == got[name].shape
                scale = max(float(np.abs(true.astype(np.float64)).max(initial=0.0)), 1e-9)
                worst = max(worst, float(np.abs(got[name].astype(np.float64) - true).max(initial=0.0)) / scale)
    return worst


@pytest.fixture
def entered() -> Callable[..., Entered]:
    """``entered(module, "x=2x3x8", dynamic=("x:1=2:8:16",))``: a module as it enters the pipeline."""
    return _entered


@pytest.fixture
def parity() -> Callable[..., float]:
    """``parity(module, "x=2x3x8")``: the error of the exported FP32 graph; see :func:`_parity`."""
    return _parity
