"""No field of a manifest, whatever it says, makes a command fail otherwise than by one line."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
from mutations import some, texts

from attnexport.errors import AttnexportError
from attnexport.export.report.page import render
from attnexport.runtime.bundle.attribution import Attribution, Blame, StepFigures
from attnexport.runtime.bundle.bundle import check_names
from attnexport.runtime.bundle.figures import Figures, MatchCounts
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.sections import SamplesRecord, SearchRecord, Selection
from attnexport.runtime.bundle.stage import Stage
from attnexport.runtime.show.inspect import arrange
from attnexport.runtime.show.inspection_text import show_inspection

CONTROL = {*map(chr, range(32)), *map(chr, range(127, 160)), "\u202e", "\udc80"} - {"\n"}


def complete(full: Manifest) -> Manifest:
    """With a value in every section of the schema."""
    figures = Figures(1e-7, 3e-7, 2e-7, 1.0, 0.5, 24)
    step = StepFigures(Stage.CAPTURE, "float32", figures, 1e-9, 1e-7, 1.0, 0.0)
    search = SearchRecord("found", "3 nodes stay", 1.0, 2.0, 0.9, 0.95, 3, 40, 2, 1.5, 0.99, True)
    layer = {"name": "l", "type": "conv", "outputs": [{"name": "o", "dtype": "float16", "shape": [1, -1]}],
             "nodes": ["attn/Add"], "modules": ["attn"]}  # fmt: skip
    detail = {"gpu": {"name": "NVIDIA L4", "compute_capability": "8.9"}, "layers_from": "inspector", "tf32": False,
              "workspace_bytes": 1, "warnings": ["slow"],
              "memory": {"weights": 1, "profiles": [{"activations": 1, "persistent": 2, "inputs": 3, "outputs": 4}]}}  # fmt: skip
    figures_of_tasks = {
        "top1": {"agreement": 1.0},
        "iou": {"mean": 0.5},
        "tokens": {"accuracy": 1.0},
        "psnr": {"decibels": 9.0},
    }
    return replace(
        full,
        precision=replace(full.precision, search=search),
        engines=(replace(full.engines[0], layers=(layer,), detail=detail),),
        parity=(replace(full.parity[0], agreement=MatchCounts(9, 8, 1), torch_agreement=MatchCounts(9, 9), detail=figures_of_tasks),),
        selections=(Selection({"y": 1}, "y"),),
        attribution=(Attribution("onnx-fp32", "y", ("opt",), (step,), Blame("lower", "attn", "A", "a:3", "n", "d"), ("note",)),),
        samples=SamplesRecord("photos", 3, True, {"mean": [0.5], "std": [0.5], "size": [8, 8], "classes": ["a", "b"]}),
    )  # fmt: skip


def test_a_complete_manifest_is_shown_and_rendered(full: Manifest) -> None:
    assert _use(complete(full).dumps()) is None


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.sweep)])
def test_no_mutation_is_a_fault(full: Manifest, step: int) -> None:
    """20 wrong kinds for each field, and 5 names: an error of ours in one line, or the manifest is shown."""
    problems = []
    refused = count = 0
    for name, text in some(texts(complete(full).to_json()), step):
        count += 1
        try:
            problem = _use(text)
        except AttnexportError as error:
            refused += 1
            problem = None if "\n" not in str(error) and len(str(error)) < 5000 else "the error has more than one line"
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"[:200]
        if problem is not None:
            problems.append(f"{name}: {problem}")
    assert not problems, f"{len(problems)} of {count}:\n" + "\n".join(problems[:60])
    assert count > 7000 / step
    assert 0.3 < refused / count < 0.95


def _use(text: str) -> str | None:
    """Read a manifest, show it in both forms and render its page; return what the output has that it must not have."""
    manifest = Manifest.loads(text)
    check_names(Path("net.attn"), manifest)
    inspection = arrange("net.attn", manifest, {})
    for as_json in (False, True):
        shown = io.StringIO()
        with redirect_stdout(shown):
            show_inspection(inspection, layers=True, as_json=as_json)
        if found := CONTROL & set(shown.getvalue()):
            return f"the terminal gets {sorted(found)!r}"
    page = render(Path("net.attn"), manifest, {})
    return "the page has a script of the manifest" if "<script>alert" in page else None
