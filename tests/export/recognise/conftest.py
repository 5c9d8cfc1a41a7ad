"""A module of one image, captured and recognised; the graph with portable bodies must still compute what the module does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from attnexport.export import domain
from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.export.recognise import Recognised, recognise
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec


class Layer(nn.Module):
    """``function(x, q, k, v)`` of an image and three 1x1 projections of it, each with ``channels``."""

    def __init__(self, function: Callable[..., Any], channels: int, rank: int) -> None:
        super().__init__()
        conv: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
        self.q, self.k, self.v = (conv(channels, channels, 1) for _ in range(3))
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, self.q(x), self.k(x), self.v(x))


@dataclass(frozen=True)
class Seen:
    """What recognising made of a module."""

    result: Recognised
    captured: onnx.ModelProto

    @property
    def operators(self) -> list[str]:
        """The domain operators that are left, in the order of the graph."""
        return [node.op_type for node in domain.domain_nodes(self.result.model.graph)]

    @property
    def found(self) -> list[str]:
        """The descriptions."""
        return [entry.description for entry in self.result.found]

    @property
    def reasons(self) -> list[str]:
        """Why something was left."""
        return [entry.reason for entry in self.result.refused]

    def attributes(self, op: str) -> dict[str, Any]:
        """Those of the only node of that operator."""
        (node,) = (n for n in domain.domain_nodes(self.result.model.graph) if n.op_type == op)
        return {a.name: helper.get_attribute_value(a) for a in node.attribute}


Seeing = Callable[..., Seen]


@pytest.fixture(scope="session")
def see() -> Seeing:
    """``see(function or module, shape, dynamic)``: captured, recognised, run at several sizes and compared with FP64."""

    def look(
        what: Any, shape: tuple[int, ...] = (2, 8, 7, 6), *, dynamic: bool = False, outputs: int = 1, atol: float = 2e-5
    ) -> Seen:
        rank = len(shape) - 2
        torch.manual_seed(0)
        module = (what if isinstance(what, nn.Module) else Layer(what, shape[1], rank)).eval()
        axes = [Axis.fixed(size) for size in shape]
        if dynamic:
            axes = [Axis(1, shape[0], 8, "batch"), axes[1], *(Axis(5, s, 40, f"s{i}") for i, s in enumerate(shape[2:]))]
        specs = (TensorSpec("x", "float32", tuple(axes)),)
        names = [f"y{i}" for i in range(outputs)]
        captured = to_onnx(export_program(module, specs, [torch.randn(shape)]), specs, names).model
        before = captured.SerializeToString()
        result = recognise(captured)
        assert captured.SerializeToString() == before, "the argument is not changed"
        _names_lead_back(captured, result)
        with_bodies = domain.add_bodies(result.model)
        onnx.checker.check_model(with_bodies, full_check=True)
        session = OrtSession(with_bodies.SerializeToString())
        others = [(1, shape[1], *(s + 2 + i for i, s in enumerate(shape[2:])))] if dynamic else []
        double = module.double()
        for size in (shape, *others):
            x = torch.randn(size, generator=torch.Generator().manual_seed(1))
            with torch.no_grad():
                truth = double(x.double())
            for name, expected in zip(names, truth if outputs > 1 else [truth], strict=True):
                got = session.run({"x": x.numpy()})[name]
                assert got.shape == expected.shape
                np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=atol)
        return Seen(result, captured)

    return look


def _names_lead_back(captured: onnx.ModelProto, result: Recognised) -> None:
    old = {node.name for node in captured.graph.node}
    names = [node.name for node in result.model.graph.node]
    assert len(set(names)) == len(names)
    new = [name for name in names if name not in old]
    assert all(any(name.startswith(f"{known}/") for known in old) for name in new)
    assert list(result.model.graph.input) == list(captured.graph.input)
    assert list(result.model.graph.output) == list(captured.graph.output)
    for entry in result.found:
        assert entry.node in names
        assert set(entry.consumed) <= old
