"""The errors of modules: those of the outputs where a module gives one, and a planted fault shows in its module and not before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from attnexport.errors import StageError
from attnexport.export.verify import module_errors
from attnexport.export.verify.module_errors import compare_modules
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.sections import TRUTH


def relative(got: np.ndarray, truth: np.ndarray) -> float:
    """An oracle of its own."""
    return float(np.linalg.norm((got.astype(np.float64) - truth).ravel()) / np.linalg.norm(truth.ravel()))


@pytest.fixture
def given(exported: tuple[StoredBundle, tuple[Any, ...]]) -> tuple[Any, ...]:
    return exported[1]


def test_the_module_that_gives_an_output_has_the_outputs_error(bundle: StoredBundle, given: tuple[Any, ...]) -> None:
    found = {error.module: error.errors for error in compare_modules(*given).errors}
    case = next(c for c in bundle.golden() if c.name.startswith("samples"))
    np.testing.assert_array_equal(given[2]["x"], case.feeds["x"])
    logits = onnxruntime.InferenceSession(str(bundle.file("model.onnx"))).run(["logits"], dict(case.feeds))[0]
    assert found["head"]["onnx-fp32"] == pytest.approx(relative(logits, case.reference["logits"]), rel=0.3)
    assert set(found["head"]) == {"onnx-fp32", "emulated-fp16"}


def test_modules_come_in_the_order_in_which_they_end_with_their_lines(given: tuple[Any, ...], nasty: str) -> None:
    errors = compare_modules(*given).errors
    assert [e.module for e in errors] == ["look.regress", "look", nasty, "head", "last"]
    assert [e.kind for e in errors] == ["Linear", "Look", "Conv2d", "Linear", "Conv2d"]
    assert all(e.source.partition(":")[0].endswith("conftest.py") for e in errors)


def test_the_sampled_images_are_kept_with_the_truth(given: tuple[Any, ...]) -> None:
    inside = compare_modules(*given)
    assert list(inside.sampled) == ["look"]
    forms = inside.sampled["look"]
    error = next(e.errors for e in inside.errors if e.module == "look")
    for form in ("onnx-fp32", "emulated-fp16"):
        assert relative(forms[form], forms[TRUTH]) == pytest.approx(error[form], rel=1e-6)


def test_a_wrong_weight_shows_in_its_module_and_behind_it(given: tuple[Any, ...], nasty: str) -> None:
    made, *rest = given
    model = onnx.ModelProto()
    model.CopyFrom(made.lowered.model)
    conv = next(node for node in model.graph.node if node.name.startswith(f"{nasty}/"))
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == conv.input[1])
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.25), weight.name))
    wrong = replace(made, lowered=replace(made.lowered, model=model))
    errors = {e.module: e.errors["onnx-fp32"] for e in compare_modules(wrong, *rest).errors}
    assert errors["look"] < 1e-5 and errors["look.regress"] < 1e-5
    assert 0.1 < errors[nasty] < 0.3 and errors["head"] > 1e-2


def test_memory_is_bounded_by_looking_in_turns(given: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compare_modules(*given)
    monkeypatch.setattr(module_errors, "AT_ONCE_BYTES", 1)
    graph = given[0].captured.model.graph
    ends = {e.module: e.module for e in whole.errors}
    assert [list(some) for some in module_errors._batches(graph, ends, given[2])] == [[module] for module in ends]
    assert compare_modules(*given).errors == whole.errors


def test_a_form_that_cannot_be_looked_into_is_left_out(given: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, names: Any, see: Any) -> None:
        if self._typed:
            raise StageError("onnxruntime", "no")
        stream(self, names, see)

    stream = module_errors.GraphSide.stream
    monkeypatch.setattr(module_errors.GraphSide, "stream", refuse)
    assert {form for error in compare_modules(*given).errors for form in error.errors} == {"onnx-fp32"}


def test_only_so_many_modules_are_measured_the_outer_ones_first(
    given: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_errors, "MOST", 4)
    assert "look.regress" not in [error.module for error in compare_modules(*given).errors]
    assert len(compare_modules(*given).errors) == 4
