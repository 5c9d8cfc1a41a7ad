from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from attnexport.errors import InputError
from attnexport.export.source import Source, SourceOptions, load

NET = '''
import torch

class Net(torch.nn.Module):
    """Two inputs are possible, one is needed; batch norm and dropout behave otherwise in training mode."""

    def __init__(self, channels: int = 4):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, channels, 3)
        self.norm = torch.nn.BatchNorm2d(channels)
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(channels, 5)
        self.norm.running_mean.uniform_(-1, 1)

    def forward(self, x, shift=None):
        y = self.head(self.drop(self.norm(self.conv(x))).mean((2, 3)))
        return y if shift is None else y + shift

class Bare(torch.nn.Module):
    def forward(self, x):
        return x * 2

def build(channels: int = 4):
    return Net(channels)

def bare():
    return Bare()

def fails():
    raise RuntimeError("no data\\nhere")

def leaves():
    raise SystemExit(3)

def gives_list():
    return [1]

value = 3
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh current directory that holds the user's own module, tinynet.py."""
    (tmp_path / "tinynet.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("tinynet", None)
    yield tmp_path
    sys.modules.pop("tinynet", None)


@pytest.fixture
def net(here: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """The user's trained module, in eval mode."""
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(here))
        import tinynet

    torch.manual_seed(1)
    module: torch.nn.Module = tinynet.Net().eval()
    return module


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def refused() -> Callable[..., str]:
    """Load, expect the refusal, and give its message: one line, exit code 2."""

    def run(path: Path | None, **options: object) -> str:
        with pytest.raises(InputError) as caught:
            load(path, SourceOptions(**options))  # type: ignore[arg-type]
        message = str(caught.value)
        assert caught.value.exit_code == 2
        assert "\n" not in message
        assert len(message) < 1200
        return message

    return run


@pytest.fixture
def accepted() -> Callable[..., Source]:
    def run(path: Path | None, **options: object) -> Source:
        return load(path, SourceOptions(**options))  # type: ignore[arg-type]

    return run


@pytest.fixture
def repack() -> Callable[..., Path]:
    """Copy a zip, passing every member through ``change(name, content)``; ``extra`` members are added."""

    def run(path: Path, to: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes] | None = None) -> Path:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
            for name in old.namelist():
                new.writestr(name, change(name, old.read(name)))
            for name, content in (extra or {}).items():
                new.writestr(f"{old.namelist()[0].partition('/')[0]}/{name}", content)
        return to

    return run


@pytest.fixture
def make_onnx(here: Path) -> Callable[..., Path]:
    """Write y = x + w as model.onnx, with whatever differs."""

    def run(
        shape: list[int | str | None] | None = None,
        *,
        opset: int = 18,
        nodes: list[onnx.NodeProto] | None = None,
        domains: tuple[str, ...] = (),
        weight: list[float] | None = None,
        elem: int = TensorProto.FLOAT,
        external: str | None = None,
        second: list[int | str | None] | None = None,
    ) -> Path:
        shape = ["N", 3] if shape is None else shape
        w = numpy_helper.from_array(torch.tensor(weight or [1.0, 2.0, 3.0]).numpy(), "w")
        if external is not None:
            w.ClearField("raw_data")
            w.data_location = TensorProto.EXTERNAL
            w.external_data.add(key="location", value=external)
            w.external_data.add(key="offset", value="0")
            w.external_data.add(key="length", value="12")
        inputs = [helper.make_tensor_value_info("x", elem, shape)]
        if second is not None:
            inputs.append(helper.make_tensor_value_info("z", elem, second))
        graph = helper.make_graph(
            nodes or [helper.make_node("Add", ["x", "w"], ["y"])],
            "g",
            inputs,
            [helper.make_tensor_value_info("y", elem, shape)],
            [w],
        )
        imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
        path = here / "model.onnx"
        path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())
        return path

    return run
