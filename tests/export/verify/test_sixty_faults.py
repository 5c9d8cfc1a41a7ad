"""Wrong graphs fail, each by the output that is wrong: when they are verified, and when the written bundle is checked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import attnexport
from attnexport.export.progress import Silent
from attnexport.export.reference.onnx_model import OnnxOriginal
from attnexport.export.reference.original import Original, Precision
from attnexport.export.reference.torch_model import TorchOriginal
from attnexport.export.verify.cases import ParityCase, build_cases, draws
from attnexport.export.verify.variant import Variant
from attnexport.export.verify.variant_errors import Criteria
from attnexport.export.verify.verify import ParityResult, verify
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.check.check import check
from attnexport.runtime.check.check_rows import CheckResult
from attnexport.runtime.files.read import sha256_of
from attnexport.runtime.sessions.emulated import open_emulated
from attnexport.runtime.sessions.ort import OrtSession

from .faulty_graphs import FP16, WRONG_GRAPHS, WrongGraph
from .faulty_networks import NETWORKS


class Remembered:
    """An original whose results are kept: every fault of a network is judged on the same cases."""

    def __init__(self, original: Original) -> None:
        self._original = original
        self.notes, self.further = original.notes, original.further
        self._results: dict[tuple[int, Precision], dict[str, np.ndarray]] = {}

    def run(self, feeds: Mapping[str, np.ndarray], precision: Precision) -> dict[str, np.ndarray]:
        key = (id(feeds), precision)
        if key not in self._results:
            self._results[key] = self._original.run(feeds, precision)
        return self._results[key]


@dataclass(frozen=True)
class GoodBundle:
    """A network exported once, with what verification needs to judge its files again."""

    path: Path
    original: Remembered
    cases: Sequence[ParityCase]
    criteria: Criteria
    half: bool

    def model(self, file: str) -> onnx.ModelProto:
        return onnx.load(self.path / file)

    def verify(self, file: str, model: onnx.ModelProto) -> ParityResult:
        content = model.SerializeToString()
        if file == FP16:
            variant = Variant("emulated-fp16", file, "float16", open_emulated(content))
        else:
            variant = Variant("onnx-fp32", file, "float32", OrtSession(content, threads=1))
        return verify(self.original, [variant], self.cases, self.criteria, Silent())  # type: ignore[arg-type]

    def check(self, file: str, model: onnx.ModelProto, folder: Path) -> CheckResult:
        """Check a copy of the bundle that has only this file, with another model in it and its hash recorded."""
        copy = folder / "net.attn"
        shutil.copytree(self.path, copy)
        onnx.save(model, copy / file)
        content = json.loads((copy / "manifest.json").read_text())
        content["files"][file] |= {"sha256": sha256_of(copy / file), "bytes": (copy / file).stat().st_size}
        others = {n for n, record in content["files"].items() if record["role"].startswith("model-") and n != file}
        for other in others:
            (copy / other).unlink()
        for section in ("files", "operators"):
            content[section] = {n: record for n, record in content[section].items() if n not in others}
        stage = "emulated-fp16" if file == FP16 else "onnx-fp32"
        content["parity"] = [record for record in content["parity"] if record["stage"] == stage]
        (copy / "manifest.json").write_text(json.dumps(content))
        return check(copy)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory):
    """The good bundle of a network, by name."""

    @cache
    def export(name: str) -> GoodBundle:
        network = NETWORKS[name]
        path = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        model = network.make()
        options = {"out": path / "net.attn", "precision": "fp16" if network.half else "fp32"}
        original: Original
        if isinstance(model, nn.Module):
            model.eval()
            sizes = () if network.batches is None else (2,)
            examples = {key: torch.randn(*sizes, *shape) for key, shape in network.inputs.items()}
            dynamic = {key: {0: network.batches} for key in examples}
            attnexport.export(model, examples, outputs=list(network.outputs), dynamic=dynamic, **options)
            original = TorchOriginal(model, list(examples), list(network.outputs))
        else:
            onnx.save(model, path / "net.onnx")
            attnexport.export(path / "net.onnx", **options)
            original = OnnxOriginal(model)
        manifest = StoredBundle.open(path / "net.attn").manifest
        criteria = Criteria(tuple(manifest.outputs), None, 2.0, selections=manifest.selections)
        cases = build_cases(manifest.inputs, None, 0, draws(manifest.outputs))
        return GoodBundle(path / "net.attn", Remembered(original), cases, criteria, network.half)

    return export


FILES = [(name, file) for name, net in NETWORKS.items() for file in ("model.onnx", FP16)[: 1 + net.half]]


@pytest.mark.parametrize(("name", "file"), FILES)
def test_the_good_model_passes(good, name: str, file: str, tmp_path: Path) -> None:
    bundle = good(name)
    result = bundle.verify(file, bundle.model(file))
    assert (result.failures, len(result.records)) == ((), len(NETWORKS[name].outputs))
    assert bundle.check(file, bundle.model(file), tmp_path).passed


def wrong_model(bundle: GoodBundle, fault: WrongGraph) -> onnx.ModelProto:
    model = bundle.model(fault.file)
    fault.edit(model)
    del model.graph.value_info[:]
    return model


IDS = [f"{fault.network}, {fault.file}: {fault.name}" for fault in WRONG_GRAPHS]


@pytest.mark.parametrize("fault", WRONG_GRAPHS, ids=IDS)
def test_a_wrong_graph_fails_by_the_output_that_is_wrong(good, fault: WrongGraph, tmp_path: Path) -> None:
    bundle = good(fault.network)
    model = wrong_model(bundle, fault)
    result = bundle.verify(fault.file, model)
    assert any(f"output {fault.output!r}" in text for text in result.failures), (result.failures, result.records)
    checked = bundle.check(fault.file, model, tmp_path)
    assert not checked.passed
    failed = [row for row in checked.rows if row.verdict == "failed"]
    assert fault.output in {row.output for row in failed}, checked.rows
    assert all(row.reason for row in failed)


def test_there_are_sixty_and_more() -> None:
    assert len(WRONG_GRAPHS) >= 60
    assert len(set(IDS)) == len(IDS)
