"""Sdpa as MatMul, Softmax, MatMul: ranks, masks, causal order, groups, scales, free and fixed axes, FP16, a real engine."""

from __future__ import annotations

import numpy as np
import pytest

FORM = "sdpa_decomposed"
ATTRS = {"causal": 0, "groups": 1, "scale": 0.4}


def draw(batch=(2, 4), *, mask: str = "", dtype=np.float32, groups: int = 1, rows: int = 5) -> dict:
    rng = np.random.default_rng(1)
    kv = (*batch[:-1], batch[-1] // groups) if groups > 1 else batch
    hidden = rng.random((rows, 7)) < 0.4
    hidden[1] = "empty" in mask
    floats = np.where(hidden, -np.inf, rng.standard_normal((rows, 7))).astype(dtype)
    return {
        "query": rng.standard_normal((*batch, rows, 16)).astype(dtype),
        "key": rng.standard_normal((*kv, 7, 16)).astype(dtype),
        "value": rng.standard_normal((*kv, 7, 8)).astype(dtype),
        "mask": floats if "float" in mask else None,
        "keep": ~hidden[:, ::-1] if "bool" in mask else None,
    }


@pytest.mark.pairwise
@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("mask", ["", "float", "bool", "float empty", "bool empty", "float bool empty"])
@pytest.mark.parametrize("batch", [(), (3,), (2, 4), (2, 3, 4)], ids=str)
def test_ranks_masks_and_order(batch, mask, causal, dynamic, lowered) -> None:
    inputs = draw(batch, mask=mask)
    form = lowered("Sdpa", inputs, ATTRS | {"causal": causal}, dynamic=dynamic, only=FORM)
    form.check(inputs, 2e-6)


@pytest.mark.pairwise
@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("mask", ["", "bool empty"])
@pytest.mark.parametrize(("batch", "groups"), [((2, 4), 2), ((6,), 3), ((2, 3, 4), 4)])
def test_groups(batch, groups, mask, dynamic, lowered) -> None:
    inputs = draw(batch, mask=mask, groups=groups)
    form = lowered("Sdpa", inputs, ATTRS | {"groups": groups}, dynamic=dynamic, only=FORM)
    form.check(inputs, 2e-6)
    assert not form.op_types() & {"Expand", "Tile", "Gather"}, "keys are shared, not repeated"


def test_a_key_that_every_batch_shares(lowered) -> None:
    inputs = draw((2, 4), groups=2)
    inputs["key"], inputs["value"] = inputs["key"][:1], inputs["value"][:1]
    lowered("Sdpa", inputs, ATTRS | {"groups": 2}, dynamic=False, only=FORM).check(inputs, 2e-6)


@pytest.mark.parametrize("scale", [1.0, -0.3, 2.5])
def test_scales(scale, lowered) -> None:
    inputs = draw()
    form = lowered("Sdpa", inputs, ATTRS | {"scale": scale}, only=FORM)
    form.check(inputs, 2e-5)
    assert ("Mul" in form.op_types()) == (scale != 1.0)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")  # the reference, run in FP16 for its shape
def test_large_fp16_products_stay_in_range(lowered) -> None:
    inputs = draw(dtype=np.float16)
    inputs["query"] *= np.float16(100)
    inputs["key"] *= np.float16(100)
    assert np.abs(inputs["query"] @ inputs["key"].swapaxes(-1, -2)).max() == np.inf
    lowered("Sdpa", inputs, ATTRS | {"scale": 1 / 64}, only=FORM).check(inputs, 5e-3)


@pytest.mark.parametrize(
    ("mask", "causal", "guarded"),
    [("", 1, False), ("float", 0, False), ("bool", 0, False), ("bool empty", 0, True), ("float empty", 0, True)],
)
def test_rows_without_keys_are_guarded_where_a_constant_mask_has_them(mask, causal, guarded, lowered) -> None:
    inputs = draw(mask=mask)
    constants = [name for name in ("mask", "keep") if inputs[name] is not None]
    form = lowered("Sdpa", inputs, ATTRS | {"causal": causal}, constants=constants, only=FORM)
    form.check(inputs, 2e-6)
    assert any(node.name.endswith("/empty") for node in form.model.graph.node) == guarded


def test_nan_is_not_hidden(lowered) -> None:
    inputs = draw(mask="float")
    inputs["query"][0, 0, 3] = np.nan
    y = lowered("Sdpa", inputs, ATTRS, only=FORM).run(inputs)
    assert np.isnan(y[0, 0, 3]).all() and not np.isnan(y[0, 0, 2]).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_tensorrt_builds_it(dtype, lowered, builds) -> None:
    inputs = draw((2, 4), mask="bool", dtype=dtype, groups=2)
    free = {"query0", "query2", "key0", "key2", "value0", "value2", "keep0", "keep1"}
    form = lowered("Sdpa", inputs, ATTRS | {"causal": 1, "groups": 2}, dynamic=free, only=FORM)
    builds(form, {name: value for name, value in inputs.items() if value is not None})
