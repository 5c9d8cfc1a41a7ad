"""Every kind of TensorSpec that Python passes reaches the written bundle as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attnexport
from attnexport.errors import InputError
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.spec import DTYPES, Axis, TensorSpec

BATCH, TOKENS = Axis(1, 2, 5, "batch"), Axis(3, 6, 9, "tokens")


def fixed(*sizes: int) -> tuple[Axis, ...]:
    return tuple(map(Axis.fixed, sizes))


class Sum(nn.Module):
    """Adds up its inputs, whatever their number, shape and dtype."""

    def forward(self, x: Tensor, y: Any = None) -> Tensor:
        total = x.float() * 2
        return total if y is None else total + y.float()


def written(inputs: Any, out: Path, module: nn.Module | None = None, **options: Any) -> list[TensorSpec]:
    bundle = attnexport.export(module or Sum(), inputs, out=out / "sum.attn", precision="fp32", **options)
    return list(StoredBundle.open(bundle.path).manifest.inputs)


@pytest.mark.parametrize(
    "specs",
    [
        pytest.param([TensorSpec("x", "float32", fixed(2, 3))], id="fixed"),
        pytest.param([TensorSpec("x", "float32", (BATCH, Axis.fixed(3)))], id="batch"),
        pytest.param([TensorSpec("x", "float32", (Axis.fixed(2), TOKENS))], id="tokens alone"),
        pytest.param([TensorSpec("x", "float32", (BATCH, TOKENS))], id="two dynamic axes"),
        pytest.param([TensorSpec("x", "float32", (BATCH,)), TensorSpec("y", "float32", ())], id="scalar"),
        pytest.param([TensorSpec("x", "int64", (BATCH, TOKENS), 0, 8000)], id="whole bounds"),
        pytest.param([TensorSpec("x", "float32", fixed(2, 3), -0.5, 1.0)], id="float bounds"),
        pytest.param(
            [TensorSpec("x", "int64", (BATCH, TOKENS), 0, 50), TensorSpec("y", "bool", (BATCH, TOKENS))],
            id="shared symbols",
        ),
        pytest.param(
            [TensorSpec("x", "float32", (BATCH, TOKENS)), TensorSpec("y", "float32", fixed(1))], id="one fixed"
        ),
        *(pytest.param([TensorSpec("x", dtype, (BATCH, Axis.fixed(3)))], id=dtype) for dtype in DTYPES),
    ],
)
def test_a_spec_is_the_input_of_the_bundle(specs: list[TensorSpec], tmp_path: Path) -> None:
    assert written({spec.name: spec for spec in specs}, tmp_path) == specs


def test_a_spec_beside_an_example_tensor(tmp_path: Path) -> None:
    x, y = TensorSpec("x", "int64", (Axis.fixed(2), TOKENS), 0, 20), torch.ones(2, 1)
    assert written((x, y), tmp_path) == [x, TensorSpec("y", "float32", fixed(2, 1))]


def test_dynamic_overrides_an_axis_of_a_spec_and_adds_one_to_an_example(tmp_path: Path) -> None:
    x = TensorSpec("any name", "float32", (BATCH, TOKENS))
    inputs = written((x, torch.ones(2, 1)), tmp_path, dynamic={"x": {0: ("batch", 1, 3, 4)}, "y": {0: "batch"}})
    batch = Axis(1, 3, 4, "batch")
    assert inputs == [
        TensorSpec("x", "float32", (batch, TOKENS)),
        TensorSpec("y", "float32", (batch, Axis.fixed(1))),
    ]


def test_static_contradicts_a_dynamic_spec(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--static and --dynamic contradict each other"):
        written({"x": TensorSpec("x", "float32", (BATCH, TOKENS))}, tmp_path, static=True)


def test_one_symbol_with_two_ranges_is_refused(tmp_path: Path) -> None:
    specs = {"x": TensorSpec("x", "float32", (BATCH,)), "y": TensorSpec("y", "float32", (Axis(1, 2, 9, "batch"),))}
    with pytest.raises(InputError, match="'batch' has the range 1:2:5, and 1:2:9 in 'y'"):
        written(specs, tmp_path)
    assert not list(tmp_path.iterdir())
