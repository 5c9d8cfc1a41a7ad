"""What cleaning does to a captured graph, and what it must not do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import attnexport
from attnexport.export.capture import Captured
from attnexport.export.capture.cleanup.naming import short_path
from attnexport.export.capture.to_onnx import OPSET, to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec


def capture(module: nn.Module, *shape: int) -> Captured:
    spec = TensorSpec("x", "float32", (Axis(1, shape[0], 8, "batch"), *map(Axis.fixed, shape[1:])))
    return to_onnx(export_program(module.eval(), [spec], [torch.randn(shape)]), [spec], ["y"])


class Normalise(nn.Module):
    """x / (|x| + eps): with a small eps the exporter's own optimizer deletes the sum."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / (x.norm(dim=1, keepdim=True) + self.eps)


@pytest.mark.parametrize("eps", [1e-5, 1e-8, 1e-12])
def test_an_epsilon_survives_so_that_a_zero_row_stays_finite(eps: float) -> None:
    captured = capture(Normalise(eps), 2, 4)
    x = np.zeros((3, 4), np.float32)
    x[1] = [1, -2, 2, 4]
    got = OrtSession(captured.model.SerializeToString()).run({"x": x})["y"]
    np.testing.assert_array_equal(got[[0, 2]], 0.0)
    np.testing.assert_allclose(got[1], x[1] / (5 + eps), rtol=1e-6)


def test_batch_norms_are_folded_into_the_convolution_before_them() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)
    )
    for norm in (net[1], net[4]):
        nn.init.uniform_(norm.weight, 0.5, 2.0)
        nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    captured = capture(net, 2, 3, 6, 6)
    assert [node.op_type for node in captured.model.graph.node] == ["Conv", "Relu", "Conv"]
    x = torch.randn(5, 3, 6, 6)
    truth = net.double()(x.double()).detach().numpy()
    got = OrtSession(captured.model.SerializeToString()).run({"x": x.numpy()})["y"]
    np.testing.assert_allclose(got, truth, rtol=1e-5, atol=1e-5)


def test_axes_and_shapes_are_initializers_as_tensorrt_needs_them() -> None:
    class Pool(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)).reshape(-1, 2, 2).sum(1)

    captured = capture(Pool(), 2, 4, 5, 5)
    constants = {t.name for t in captured.model.graph.initializer}
    assert "Constant" not in {node.op_type for node in captured.model.graph.node}
    for node in captured.model.graph.node:
        if node.op_type.startswith("Reduce"):
            assert node.input[1] in constants
    assert [(o.domain, o.version) for o in captured.model.opset_import if o.domain == ""] == [("", OPSET)]


def test_nodes_are_named_after_their_modules_and_lead_back_to_the_line() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.sigmoid(self.fc(x))

    captured = capture(nn.Sequential(Gate(), Gate()), 2, 4)
    names = [node.name for node in captured.model.graph.node]
    assert len(set(names)) == len(names)
    sigmoid = captured.origins["1/Sigmoid"]
    assert (sigmoid.module, sigmoid.kind) == ("1", "Gate")
    file, _, line = sigmoid.source.rpartition(":")
    assert file.endswith("test_clean.py")
    assert not file.startswith("/")
    assert "torch.sigmoid" in Path(__file__).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert "1.fc/Gemm" in names
    assert not any(node.metadata_props or node.doc_string for node in captured.model.graph.node)


def test_a_source_is_named_from_the_deepest_import_root_and_never_absolutely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "project" / ".venv" / "site-packages"
    packages.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.syspath_prepend(packages)
    assert short_path(str(packages / "torch" / "nn" / "linear.py")) == "torch/nn/linear.py"
    assert short_path(str(tmp_path / "project" / "net.py")) == "net.py"
    assert short_path("/nowhere/near/net.py") == "net.py"
    assert short_path(str(Path(attnexport.__file__).parent / "models" / "blocks.py")) == "attnexport/models/blocks.py"


class PositionTerm(nn.Module):
    """A table of row and column embeddings, larger than what folding takes by itself, meets the input in one product."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(8, 32, 7, 1))
        self.columns = nn.Parameter(torch.randn(8, 32, 1, 7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        table = torch.cat((self.rows.expand(-1, -1, 7, 7), self.columns.expand(-1, -1, 7, 7)), 1)
        return x @ table.flatten(2).flatten(0, 1)


def test_what_is_made_of_weights_alone_is_made_once() -> None:
    module = PositionTerm()
    captured = capture(module, 2, 512)
    assert [node.op_type for node in captured.model.graph.node] == ["MatMul"]
    x = torch.randn(3, 512)
    got = OrtSession(captured.model.SerializeToString()).run({"x": x.numpy()})["y"]
    np.testing.assert_allclose(got, module.double()(x.double()).detach().numpy(), rtol=1e-4, atol=1e-3)
