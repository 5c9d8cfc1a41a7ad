"""The stage that is debugged, its reference, and the errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from attnexport.errors import InputError
from attnexport.export.debug import find
from attnexport.export.debug.judge import few
from attnexport.export.stages import models
from attnexport.export.verify.cases import ParityCase
from attnexport.runtime.bundle.divergence import Divergence
from attnexport.runtime.sessions.ort import OrtSession

DATES = Path(__file__).resolve().parents[3] / "examples" / "dates_bahdanau.pt"

Look = Callable[..., Divergence]


def twice(model: onnx.ModelProto, shape: tuple[int, ...]) -> onnx.ModelProto:
    """A copy with the only weight of this shape doubled."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    (tensor,) = (t for t in changed.graph.initializer if tuple(t.dims) == shape)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(2), tensor.name))
    return changed


def test_the_first_stage_that_fails_or_the_named_stage_is_debugged(
    look: Look, monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    lowered = models.lower_for

    def faulty(*arguments: Any) -> Any:
        full, half = lowered(*arguments)
        object.__setattr__(full, "model", twice(full.model, (8, 3, 3, 3)))
        return full, half

    monkeypatch.setattr(models, "lower_for", faulty)
    found = look(precision="fp16")
    assert (found.stage, found.precision) == ("lower", "float32")
    assert found.place is not None
    assert (found.place.stage, found.place.module) == ("lower", "body.before")
    report = json.loads((here / "found" / "divergence.json").read_text())
    assert report["passed"] is False
    assert report["place"]["module"] == "body.before"
    assert found.reproducer is not None
    assert report["reproducer"]["command"] == found.reproducer.command
    assert report["modules"][0]["growth"] is None
    with pytest.raises(InputError, match=r"found exists already\. replace it with --force"):
        look(precision="fp16")
    (here / "found" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"found has files that attnexport debug does not write.*'notes\.txt'"):
        look(precision="fp16", replace=True)
    (here / "found" / "notes.txt").rename(here / "notes.txt")
    assert not look(precision="fp16", replace=True).passed
    shutil.rmtree(here / "found")
    assert look(stage="recognise").passed


def test_a_folder_that_another_program_wrote_is_never_replaced(look: Look, here: Path) -> None:
    (here / "found").mkdir()
    (here / "found" / "part.onnx").touch()
    with pytest.raises(InputError, match=r"found was not written by attnexport debug, so it is never replaced"):
        look(replace=True)
    assert [path.name for path in (here / "found").iterdir()] == ["part.onnx"]


def test_a_network_that_tracing_changes_is_compared_with_its_modules(look: Look, here: Path) -> None:
    source = (here / "looked_net.py").read_text()
    line = "        pooled = nn.functional.avg_pool2d(y, 3, 1, 1)\n"
    assert line in source
    traced = f"{line}        pooled = pooled * 1.01 if torch.compiler.is_exporting() else pooled\n"
    (here / "looked_net.py").write_text(source.replace(line, traced))
    found = look()
    assert found.stage == "capture"
    assert found.reference == "the outputs of the modules in FP64"
    assert any(
        note.startswith("tracing changed the network: output 'map' of the traced program differs")
        for note in found.notes
    )
    assert found.place is not None
    assert found.place.module == "body.gate"


def test_a_wrong_weight_in_bf16_is_reproduced_on_a_machine_without_bf16(
    look: Look, bundle: Callable[..., Path], alone: Any
) -> None:
    folder = bundle(precision="bf16")
    model = onnx.load(str(folder / "model.bf16.onnx"))
    (tensor,) = (t for t in model.graph.initializer if tuple(t.dims) == (4, 8, 1, 1))
    assert tensor.data_type == onnx.TensorProto.BFLOAT16
    tensor.raw_data = b"\0\0" * 16 + tensor.raw_data[32:]
    onnx.save(model, str(folder / "model.bf16.onnx"))
    found = look(bundle=folder, precision="bf16")
    assert found.place is not None
    assert (found.place.stage, found.place.module) == ("bf16", "body.after")
    assert found.reproducer is not None
    typed = onnx.load(str(Path(found.reproducer.folder) / "part.typed.onnx"))
    assert {value.type.tensor_type.elem_type for value in typed.graph.input} == {onnx.TensorProto.BFLOAT16}
    assert alone(found.reproducer).code == 1


def test_an_error_of_onnxruntimes_optimisations_is_reported(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that computes other values when it optimises simulates a fault in ONNX Runtime."""
    run = OrtSession.run
    begin = OrtSession.__init__

    def opened(self: OrtSession, *arguments: Any, optimize: bool = True, **options: Any) -> None:
        self.faulty = optimize  # type: ignore[attr-defined]
        begin(self, *arguments, optimize=optimize, **options)

    def wrong(self: OrtSession, feeds: Any) -> dict[str, np.ndarray]:
        factor = np.float32(1.01 if self.faulty else 1)  # type: ignore[attr-defined]
        return {name: array * factor for name, array in run(self, feeds).items()}

    monkeypatch.setattr(OrtSession, "__init__", opened)
    monkeypatch.setattr(OrtSession, "run", wrong)
    found = look()
    assert not found.passed
    assert found.stage == "lower"
    assert found.reproducer is None
    assert "the graph is correct as written: ONNX Runtime's optimisations cause the error" in found.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"stage": "engine"},
            "--stage engine is not a stage of this export. use one of capture, simplify, raise, recognise, lower",
        ),
        (
            {"stage": "fp16"},
            "--stage fp16 is not a stage of this export. use one of capture, simplify, raise, recognise, lower",
        ),
        (
            {"model": DATES, "factory": None, "random_weights": False, "inputs": []},
            "is exported as an encoder and a step. debug the one graph with --whole",
        ),
    ],
)
def test_invalid_options_are_refused_before_tracing(
    look: Look, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.delattr(find, "capture")
    with pytest.raises(InputError) as refused:
        look(**options)
    assert message.casefold() in str(refused.value).casefold()


def test_a_bundle_of_another_network_and_a_missing_stage_are_refused(look: Look, bundle: Callable[..., Path]) -> None:
    folder = bundle()
    with pytest.raises(InputError, match=r"--stage fp16 is not in the bundle"):
        look(bundle=folder, stage="fp16")
    with pytest.raises(InputError, match=r"lower has outputs logits, map, but the model has a, b"):
        look(bundle=folder, outputs=["a", "b"])


def _case(name: str, rows: int) -> ParityCase:
    return ParityCase(name, name.partition("-")[0], {"x": np.zeros((rows, 3), np.float32)}, None, False)


def test_a_few_cases_of_the_export_are_used() -> None:
    cases = [_case(f"random-{p}-{i}", rows) for i in range(3) for p, rows in (("opt", 4), ("min", 1), ("max", 16))]
    cases += [_case("samples-1-0", 1), _case("samples-1-1", 1), _case("samples-16-0", 16)]
    assert [case.name for case in few(cases)] == [
        "random-opt-0", "random-min-0", "random-max-0", "random-min-1", "random-min-2", "samples-1-0", "samples-16-0",
    ]  # fmt: skip
