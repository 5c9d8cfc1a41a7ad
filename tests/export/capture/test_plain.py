"""What attnexport's capture refuses goes through plain torch.onnx, and is right at sizes that were not traced, or is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from attnexport.errors import UnsupportedModelError
from attnexport.export.capture import plain
from attnexport.export.capture.plain import other_sizes
from attnexport.export.capture.tracing.trace import FixedAxisError
from attnexport.export.source import CapturedModel
from attnexport.export.source.torch_source import module_source
from attnexport.runtime.sessions.large_model import open_model
from attnexport.runtime.spec import Axis, TensorSpec

BATCH, LENGTH = Axis(1, 2, 4, "batch"), Axis(4, 16, 32, "n")


class Two(torch.nn.Module):
    """Two inputs of one free length; ``function`` of their sum."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.function(x + y)


class One(Two):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return self.function(x)


def captured(module: torch.nn.Module, count: int = 1, channels: int = 8) -> CapturedModel:
    specs = tuple(TensorSpec(name, "float32", (BATCH, LENGTH, Axis.fixed(channels))) for name in "xy"[:count])
    return module_source(module.eval(), kind="module", name="net", inputs=specs).capture((), 0)


def rotary(x: torch.Tensor) -> torch.Tensor:
    """Complex numbers, moved between devices."""
    angles = torch.outer(torch.arange(x.shape[1]), torch.linspace(0.1, 1, x.shape[2] // 2))
    turn = torch.polar(torch.ones_like(angles), angles).to(x.device)
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2))) * turn).flatten(-2)


def spectrum(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(torch.stft(x[..., 0], 4, 2, window=torch.ones(4), return_complex=True))


def mixed(x: torch.Tensor) -> torch.Tensor:
    return torch.fft.fft(x, dim=1).real


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (rotary, "_assert_tensor_metadata"),
        (spectrum, "aten.stft"),
        (mixed, "Fourier transform over an axis of free length"),
    ],
)
def test_the_second_door_is_right_at_sizes_that_were_not_traced(
    function: Callable[[torch.Tensor], torch.Tensor], reason: str
) -> None:
    module = One(function)
    model = captured(module)
    assert [axis.symbol for axis in model.inputs[0].axes] == ["batch", "n", None]
    note = "captured by plain torch.onnx, because attnexport's capture does not take the model: "
    assert model.captured.notes[0].startswith(note) and reason in model.captured.notes[0]
    assert_right(module, model)


@pytest.mark.parametrize(
    "function",
    [lambda x: x.topk(x.shape[1] // 2, 1).values, lambda x: x.narrow(1, x.shape[1] // 4, x.shape[1] // 2)],
)
def test_half_of_a_length_that_two_inputs_share_needs_no_second_door(
    function: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    module = Two(function)
    model = captured(module, 2)
    assert model.captured.notes == ()
    assert_right(module, model)


def assert_right(module: torch.nn.Module, model: CapturedModel) -> None:
    """At three sizes that were not traced."""
    session = open_model(model.captured.model)
    for batch, length in ((3, 21), (1, 6), (4, 31)):
        feeds = [torch.randn(batch, length, 8) for _ in model.inputs]
        (got,) = session.run({key: feed.numpy() for key, feed in zip("xy", feeds, strict=False)}).values()
        torch.testing.assert_close(torch.from_numpy(got), module(*feeds), rtol=1e-4, atol=1e-4)


def test_a_branch_that_torch_onnx_leaves_out_is_refused() -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        captured(One(lambda x: x * 2 if x.shape[1] % 2 == 0 else x * 3))
    first, second = caught.value.problem.split("; plain torch.onnx does not export it either: ")
    assert "takes another branch at batch = 2, n = 5" in first
    assert "the graph of torch.onnx is wrong at batch = " in second or "fixes axis 1" in second


def test_both_reasons_are_said_and_the_axes_are_kept() -> None:
    with pytest.raises(FixedAxisError) as caught:
        captured(One(lambda x: x.reshape(x.shape[0], 16, 8) * 2))
    first, second = caught.value.problem.split("; plain torch.onnx does not export it either: ")
    assert "axis 1 of 'x' at 16" in first
    assert second == "torch.onnx fixes axis 1 of 'x' at 16"
    assert caught.value.axes == (("x", 1, 16),)


def test_a_fault_in_the_first_door_does_not_shut_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise TypeError("int() argument must be a string")

    monkeypatch.setattr("attnexport.export.source.torch_source.to_onnx", broken)
    model = captured(One(lambda x: x * 2))
    assert "attnexport's capture failed with TypeError: int() argument must be a string" in model.captured.notes[0]


def test_windows_are_raised_behind_the_second_door(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UnsupportedModelError("not today")

    monkeypatch.setattr("attnexport.export.source.torch_source.to_onnx", refuse)

    def grid(x: torch.Tensor) -> torch.Tensor:
        image = x.unflatten(1, (4, 4)).permute(0, 3, 1, 2)
        where = torch.nn.functional.affine_grid(torch.eye(2, 3).expand(x.shape[0], 2, 3), image.shape, False)
        return torch.nn.functional.grid_sample(image, where, align_corners=False)

    spec = TensorSpec("x", "float32", (BATCH, Axis.fixed(16), Axis.fixed(8)))
    model = module_source(One(grid).eval(), kind="module", name="net", inputs=(spec,)).capture((), 0)
    assert model.captured.kept["GridSample"] == 1


def test_other_sizes_are_inside_the_range_and_not_those_of_the_gates() -> None:
    sizes = other_sizes({"batch": BATCH, "n": LENGTH})
    assert len(sizes) == plain.MOST_SIZES == len({tuple(s.values()) for s in sizes})
    assert all(1 <= s["batch"] <= 4 and 4 <= s["n"] <= 32 for s in sizes)
    assert {s["n"] % 2 for s in sizes} == {0, 1}
    assert not [s for s in sizes if tuple(s.values()) in ((1, 4), (2, 16), (4, 32))]
    assert other_sizes({}) == []
