"""A free size as a plain number: in Python, in ``math``, and as an argument of an operator. Right at sizes that were not traced."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from attnexport.export.capture.symbolic_numbers import without_symbolic_numbers
from attnexport.export.source.torch_source import module_source
from attnexport.runtime.sessions.large_model import open_model
from attnexport.runtime.spec import Axis, TensorSpec

Function = Callable[[torch.Tensor], torch.Tensor]
GROUPS: dict[str, list[Function]] = {
    "python": [
        lambda x: x * float(x.shape[-1]),
        lambda x: x[..., : round(x.shape[-1] * 0.5)],
        lambda x: x[..., : int(x.shape[-1] * 0.75)],
        lambda x: x[..., : math.ceil(x.shape[-1] * 0.3)],
        lambda x: x[..., : math.floor(x.shape[-1] * 0.3)],
        lambda x: x * (x.shape[-1] - 2.5),
        lambda x: (x.shape[-1] - 2.5) * torch.tensor([1000, 0]).sum() + x,
        lambda x: x * x.shape[-1] ** 0.5,
        lambda x: x * isinstance(x.shape[-1] / 2, float),
    ],
    "math": [
        lambda x: x / math.sqrt(x.shape[-1]),
        lambda x: x * math.log(x.shape[-1]),
        lambda x: x * math.log(x.shape[-1], 3),
        lambda x: x * math.log2(x.shape[-1]),
        lambda x: x * math.exp(-x.shape[-1] / 10),
        lambda x: x + math.cos(x.shape[-1] / 10),
        lambda x: x * math.pow(x.shape[-1], 1.5),
        lambda x: x * math.atan2(x.shape[-1], 3) * math.sqrt(2.0),
        lambda x: x[..., : int(math.sqrt(x.shape[-1]))],
    ],
    "operators": [
        lambda x: x + torch.arange(40)[: x.shape[-1]] % x.shape[-1],
        lambda x: x + (torch.arange(40)[: x.shape[-1]] & x.shape[-1]),
        lambda x: (x.abs() * 0.01 + 1) ** x.shape[-1],
        lambda x: torch.addmm(x[0], x[0] @ x[0].T, x[0], alpha=1 / x.shape[-1]),
        lambda x: torch.baddbmm(x, x @ x.transpose(1, 2), x, beta=0.5, alpha=1 / x.shape[-1]),
        lambda x: torch.addcmul(x, x, x, value=1 / x.shape[-1]),
        lambda x: torch.addcdiv(x, x, x.abs() + 1, value=1 / x.shape[-1]),
        lambda x: F.softplus(x * 9, beta=x.shape[-1] / 10),
        lambda x: torch.lerp(x, x * 2, 1 / x.shape[-1]),
        lambda x: torch.fmod(x * 30, x.shape[-1]),
        lambda x: x.kthvalue(x.shape[-1] // 2, -1).values,
    ],
    "places": [
        lambda x: F.one_hot(x.argmax(-1), x.shape[-1]),
        lambda x: torch.stack(torch.unravel_index(x.flatten(1).argmax(-1), x.shape[1:])),
        lambda x: torch.take_along_dim(x, x.argsort(-1), -1),
        lambda x: x.take_along_dim(x.argsort(-1, descending=True), dim=-1),
        lambda x: x * torch.hann_window(x.shape[-1]),
        lambda x: x * torch.hann_window(x.shape[-1], periodic=False),
        lambda x: x * torch.hamming_window(x.shape[-1]),
    ],
}


class All(torch.nn.Module):
    def __init__(self, functions: list[Function]) -> None:
        super().__init__()
        self.functions = functions

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(function(x) for function in self.functions)


@pytest.mark.parametrize("name", GROUPS)
def test_the_size_stays_free_and_the_number_is_right(name: str) -> None:
    module = All(GROUPS[name]).eval()
    spec = TensorSpec("x", "float32", (Axis(1, 2, 4, "batch"), Axis.fixed(6), Axis(8, 20, 32, "w")))
    captured = module_source(module, kind="module", name="net", inputs=(spec,)).capture((), 0)
    assert captured.captured.notes == ()
    session = open_model(captured.captured.model)
    for batch, width in ((3, 13), (1, 31), (4, 8)):
        x = torch.randn(batch, 6, width)
        for place, (got, wanted) in enumerate(zip(session.run({"x": x.numpy()}).values(), module(x), strict=True)):
            assert got.dtype == wanted.numpy().dtype
            torch.testing.assert_close(
                torch.from_numpy(got), wanted, rtol=2e-6, atol=2e-6, msg=lambda t, p=place: f"{p}: {t}"
            )


def test_a_program_without_symbolic_numbers_stays_as_it_is() -> None:
    class Plain(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.addmm(x, x, x, alpha=0.5) ** 2 + x.shape[0]

    program = torch.export.export(Plain(), (torch.ones(3, 3),))
    assert without_symbolic_numbers(program) is program


def test_only_calls_with_symbolic_numbers_are_replaced() -> None:
    class Mixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weight = x.new_ones(4, 4)
            return torch.addmm(x, x, weight, alpha=0.5) + torch.addmm(x, x, weight, alpha=1 / x.shape[0])

    shapes = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(Mixed(), (torch.ones(3, 4),), dynamic_shapes=shapes)
    targets = [str(node.target) for node in without_symbolic_numbers(program).graph.nodes]
    assert targets.count("aten.addmm.default") == targets.count("aten.mm.default") == 1
