"""How a source enters the pipeline: assumed batches, names, limits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.errors import InputError
from attnexport.export.capture.tracing.trace import FixedAxisError
from attnexport.export.progress import Silent
from attnexport.export.source import ModuleSource, Source
from attnexport.export.stages.models import enter
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 2, 8, "batch")


def source(module: nn.Module, *, explicit: bool = False, outputs: tuple[str, ...] = ()) -> Source:
    spec = TensorSpec("x", "float32", (BATCH, Axis.fixed(4)))
    return ModuleSource(
        kind="random", name="net", module=module.eval(),
        inputs=(spec,), outputs=outputs, explicit_dynamic=explicit,
    )  # fmt: skip


class Fixed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(2, 2, 2)


class Several(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, object]:
        return {"logits": x * 2, "aux": (x + 1, [x - 1])}


def test_a_batch_that_nobody_asked_for_is_given_up_and_said() -> None:
    reporter = Silent()
    entered = enter(source(Fixed()), (), 0, reporter)
    assert [s.describe() for s in entered.inputs] == ["x float32 [2, 4]"]
    (note,) = reporter.notes
    assert "axis 0 of 'x' at 2" in note
    assert "fixed shapes x float32 [2, 4]" in note


def test_a_batch_that_was_asked_for_is_not_given_up() -> None:
    with pytest.raises(FixedAxisError, match="axis 0 of 'x' at 2"):
        enter(source(Fixed(), explicit=True), (), 0, Silent())


def test_outputs_are_named_as_the_model_names_them_or_as_the_user_wants() -> None:
    assert enter(source(Several()), (), 0, Silent()).output_names == ("logits", "aux_0", "aux_1_0")
    entered = enter(source(Several(), outputs=("x1", "x2", "x3")), ("a", "b", "c"), 0, Silent())
    assert entered.output_names == ("a", "b", "c")
    assert [o.name for o in entered.captured.model.graph.output] == ["a", "b", "c"]
    with pytest.raises(InputError, match="1 output names for 3 outputs"):
        enter(source(Several()), ("only",), 0, Silent())
