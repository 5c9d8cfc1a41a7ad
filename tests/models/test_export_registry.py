"""Every named network through the real pipeline: a bundle that passes its gates, a free batch, engines in FP32 and FP16.

The default run takes one reduced network of each builder, but for those that other files export by default: digits
(tests/test_end_to_end.py) and the large networks with their layers (stand-alone attention, local relation, CBAM), sequences
(test_export_sequences.py, runtime/decode/test_exported.py), and ResNets with a squeeze-and-excitation, BAM or GAM gate
(test_gated_resnet.py). ``make sweep`` takes the other distinct reduced ones and every network whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from attnexport.benchmarks.systems import ROWS, keep
from attnexport.benchmarks.systems_measure import Exported, export, row, times_faster
from attnexport.models import distinct, registry
from attnexport.models.entry import Inputs

FP16_BAR = 1.5
"""FP16's error under emulation, as a multiple of autocast's."""

DISTINCT = distinct.reduced(registry.names())


def one_of_each_builder() -> list[Any]:
    """Every distinct network; those of other files, and those whose builder (luong, lrnet ...) has had its turn, are swept."""
    builders = [registry.entry(name).builder for name in DISTINCT]
    kinds = [getattr(builder, "func", builder) for builder in builders]
    others = [name for name in DISTINCT if name.startswith(("seq2seq_", "transformer_"))]
    gated = [name for name in DISTINCT if name.startswith("resnet") and name.endswith(("_se", "_bam", "_gam", "_cbam"))]
    local = [name for name in DISTINCT if name.startswith(("lrnet", "sasa_"))]
    elsewhere = {*registry.families()["digits"], *others, *gated, *local}
    return [
        pytest.param(name, marks=[pytest.mark.sweep] if name in elsewhere or kinds.index(kind) < place else [])
        for place, (name, kind) in enumerate(zip(DISTINCT, kinds, strict=True))
    ]


def held_to_its_bars(made: Exported, inputs: Inputs) -> None:
    manifest = made.manifest
    assert made.result.passed and not made.result.failures
    stages = {record.stage for record in manifest.parity}
    assert {"onnx-fp32", "onnx-fp16", "emulated-fp16"} <= stages
    for record in manifest.parity:
        assert record.gate.passed and record.gate.ratio <= record.gate.factor == 2.0, record.stage
        assert record.figures.reference_rms > 0
        assert np.isfinite([record.figures.rms, record.figures.max_abs]).all()
        if record.stage == "emulated-fp16":
            assert record.gate.ratio <= FP16_BAR
        top1 = record.detail.get("top1")
        assert top1 is None or top1["disagreements"] == top1["within_margin"], "only ties change"
    assert [spec.to_json() for spec in manifest.inputs] == list(inputs)
    assert {"min", "opt", "max"} == set(manifest.engines[0].profiles[0][inputs[0]["name"]])
    assert made.result.bundle is not None
    for file in ("model.onnx", "model.fp16.onnx"):
        graph = onnx.load(made.result.bundle / file, load_external_data=False).graph
        for value in (*graph.input, *graph.output):
            assert value.type.tensor_type.shape.dim[0].dim_param == "batch", (file, value.name)
    (half,) = manifest.engines
    assert (half.precision, half.flavour) == ("fp16", "rtx")
    assert (made.result.bundle / half.file).stat().st_size == half.bytes > 10_000
    assert made.fp32_bytes > 10_000


def test_every_family_and_every_name_is_in_a_group() -> None:
    """So that whatever is registered is exported, at least as the same reduced network under another name."""
    assert {name for group in DISTINCT.values() for name in group} == set(registry.names())
    for names in registry.families().values():
        assert any(set(group) & set(names) for group in DISTINCT.values())
    for gate in ("se", "bam", "cbam", "triplet", "gam"):
        assert any(name.endswith(f"_{gate}") for name in DISTINCT)


@pytest.mark.parametrize("name", one_of_each_builder())
def test_a_reduced_network_exports_with_both_engines(name: str, tmp_path: Path) -> None:
    entry = registry.entry(name)
    held_to_its_bars(export(name, tmp_path, reduced=True), entry.reduced_inputs or entry.inputs)


@pytest.mark.sweep
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", registry.names())
def test_a_whole_network_exports_with_both_engines(name: str, tmp_path: Path) -> None:
    made = export(name, tmp_path, reduced=False)
    held_to_its_bars(made, registry.entry(name).inputs)
    keep(row(name, made, times_faster(name, made)), ROWS)
