"""Hostile files of the other kinds: pickles as checkpoints, ONNX files that name files of the host, arrays with objects."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from attnexport.errors import InputError
from attnexport.runtime.inputs.samples import load_samples
from attnexport.runtime.spec import Axis, TensorSpec


class Plant:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class State(dict):
    """A state dict whose class has code."""

    def __init__(self, path: Path) -> None:
        super().__init__(weight=torch.ones(1))
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def evil_objects(canary: Path) -> dict[str, object]:
    return {
        "object": Plant(canary),
        "value of a state dict": {"weight": torch.ones(1), "more": Plant(canary)},
        "key": {"state_dict": {"weight": torch.ones(1)}, "epoch": Plant(canary)},
        "list": [torch.ones(1), Plant(canary)],
        "class": State(canary),
        "checkpoint": {"attnexport": 1, "arch": "digits_sasa", "kwargs": {"x": Plant(canary)}, "state_dict": {},
                       "inputs": [], "outputs": [], "task": None},
    }  # fmt: skip


@pytest.mark.parametrize("name", evil_objects(Path()))
@pytest.mark.parametrize("form", ["zip", "old", "pickle 0", "pickle 2", "pickle 5"])
def test_pickles(tmp_path, canary, refusal, name, form):
    evil = tmp_path / "evil.pt"
    value = evil_objects(canary)[name]
    if form in ("zip", "old"):
        torch.save(value, evil, _use_new_zipfile_serialization=form == "zip")
    else:
        plain = value if not isinstance(value, dict) or isinstance(value, State) else {"more": Plant(canary)}
        evil.write_bytes(pickle.dumps(plain, int(form[-1])))
    message = refusal(evil)
    assert "pathlib" in message  # what it would import
    assert "--allow-pickle" in message


OPCODES = {
    "global": b"\x80\x02cposix\nsystem\nX\x0b\x00\x00\x00touch CANARY\x85R.",
    "inst": b"(S'touch CANARY'\niposix\nsystem\n.",
    "stack global": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0ctouch CANARY\x85R.",
    "computed": b"\x80\x04\x8c\x05posixq\x00h\x00\x8c\x06system\x93\x8c\x0ctouch CANARY\x85R.",
    "reduce of builtins": b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.",
    "build": b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00acposix\nsystem\nsb.",
    "newobj": b"\x80\x02csubprocess\nPopen\n)\x81.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent": b"\x80\x02X\x01\x00\x00\x00aQ.",
}


@pytest.mark.parametrize("name", OPCODES)
@pytest.mark.parametrize("inside", ["plain", "zip"])
def test_opcodes(tmp_path, canary, refusal, name, inside):
    content = OPCODES[name].replace(b"CANARY", b"CANARY")
    evil = tmp_path / "evil.pt"
    if inside == "plain":
        evil.write_bytes(content)
    else:
        stream = io.BytesIO()
        torch.save({"w": torch.ones(1)}, stream)
        with zipfile.ZipFile(stream) as old, zipfile.ZipFile(evil, "w") as new:
            for member in old.namelist():
                new.writestr(member, content if member.endswith("data.pkl") else old.read(member))
    refusal(evil)
    assert not Path("CANARY").exists()


def graph_file(folder: Path, *, location: str = "", nodes=None, domain: str = "") -> Path:
    weight = TensorProto(name="w", data_type=1, dims=[3])
    if location:
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)
    else:
        weight.raw_data = np.ones(3, np.float32).tobytes()
    x, y = (helper.make_tensor_value_info(name, 1, ["N", 3]) for name in "xy")
    nodes = nodes or [helper.make_node("Add", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [weight])
    imports = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    path = folder / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())
    return path


LOCATIONS = [
    "../secret", "/etc/hostname", "a/../../secret", "./../secret", "C:\\secret", "\\\\host\\secret", "..\\secret", "link", "folder/x",
    "hard", "a\0b", "~/secret", "file:///etc/hostname", "/dev/zero", "/proc/self/environ", "",
]  # fmt: skip


@pytest.mark.parametrize("location", LOCATIONS)
def test_weights_of_another_file(tmp_path, refusal, location):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(np.full(3, 7, np.float32).tobytes())
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "folder").symlink_to(tmp_path)
    (tmp_path / "x").write_bytes(bytes(12))
    os.link(tmp_path / "secret", folder / "hard")
    path = graph_file(folder, location=location or "empty")
    if not location:
        model = onnx.load(path, load_external_data=False)
        model.graph.initializer[0].external_data[0].value = ""
        path.write_bytes(model.SerializeToString())
    message = refusal(path)
    assert any(words in message for words in ("outside the model's folder", "is a hard link", "is missing"))


@pytest.mark.parametrize(
    ("operator", "domain", "words"),
    [
        ("EPContext", "com.microsoft", "which ONNX Runtime loads from any file"),
        ("ReadFile", "evil", "holds custom operators without a definition"),
        ("PyOp", "ai.onnx.contrib", "holds custom operators without a definition"),
        ("aten_save", "org.pytorch.aten", "holds custom operators without a definition"),
    ],
)
def test_operators_that_load_code(tmp_path, refusal, operator, domain, words):
    node = helper.make_node(operator, ["x"], ["y"], domain=domain, ep_cache_context="../../secret", embed_mode=0)
    assert words in refusal(graph_file(tmp_path, nodes=[node], domain=domain))


@pytest.mark.parametrize("ending", ["npy", "npz", "folder"])
def test_arrays_with_objects(tmp_path, canary, ending):
    array = np.array([Plant(canary)], dtype=object)
    path = tmp_path / f"samples.{ending}"
    if ending == "npz":
        np.savez(path, x=array)
    elif ending == "npy":
        np.save(path, array)
    else:
        path.mkdir()
        np.save(path / "a.npy", array)
    with pytest.raises(InputError, match=r"cannot be read|object"):
        load_samples(path, [TensorSpec("x", "float32", (Axis(1, 1, 4, "batch"), Axis.fixed(3)))])
    assert not canary.exists()
