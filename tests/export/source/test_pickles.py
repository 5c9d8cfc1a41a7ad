"""A pickle's code never runs unless it is allowed: the refusal names what it would import."""

from __future__ import annotations

import io
import os
import pickle
import pickletools

import pytest
import torch

from attnexport.export.source.pickles import pickle_globals


class Plant:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def saved(content, path, form, protocol=2):
    if form == "raw":
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip", pickle_protocol=protocol)
    return path


@pytest.mark.parametrize(
    ("form", "protocol"), [("zip", 2), ("zip", 4), ("legacy", 2), ("legacy", 4), ("raw", 0), ("raw", 2), ("raw", 4)]
)
@pytest.mark.parametrize("nest", ["", "state_dict"])
def test_malicious_pickle_is_named_and_not_run(here, refused, form, protocol, nest):
    planted = here / "planted"
    content = {"state_dict": {"weight": torch.ones(2), "x": Plant(planted)}} if nest else Plant(planted)
    if form == "raw" and nest:
        content = {"state_dict": {"x": Plant(planted)}}
    path = saved(content, here / "evil.pt", form, protocol)
    message = refused(path, factory="tinynet:build", inputs=("x=1x3x8x8",))
    assert not planted.exists()
    assert "posix.mkdir" in message
    assert "--allow-pickle" in message
    assert sorted(p.name for p in here.iterdir() if p.name != "__pycache__") == ["evil.pt", "tinynet.py"]


def test_the_plant_works(here):
    """The attack above is a real one: torch itself runs it when told to."""
    torch.load(saved(Plant(here / "planted"), here / "evil.pt", "zip"), weights_only=False)
    assert (here / "planted").is_dir()


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_module_without_permission_names_its_classes(here, net, refused, form):
    message = refused(saved(net, here / "m.pt", form))
    assert "tinynet.Net" in message
    assert "--allow-pickle" in message


def test_module_whose_code_is_gone(here, net, refused, monkeypatch, tmp_path_factory):
    import sys

    saved(net, here / "m.pt", "zip")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    sys.modules.pop("tinynet")
    message = refused(here / "m.pt", allow_pickle=True)
    assert "needs code that was not found" in message
    assert "tinynet" in message


def test_strings_are_followed_through_the_memo(here):
    """STACK_GLOBAL whose names come back out of the memo, and one whose name is computed."""
    code = (
        pickle.PROTO + b"\x04" + b"\x8c\x05posix\x94" + b"0" + b"\x8c\x06system\x94" + b"0" + b"h\x00h\x01\x93"
        + b"\x8c\x02ls\x85R" + b"."
    )  # fmt: skip
    (here / "memo.pt").write_bytes(code)
    assert [op.name for op, _, _ in pickletools.genops(code)].count("STACK_GLOBAL") == 1
    assert pickle_globals(here / "memo.pt") == ["posix.system"]
    computed = pickle.PROTO + b"\x04" + b"\x8c\x05posix" + b"]" + b"\x93" + b"."
    (here / "computed.pt").write_bytes(computed)
    assert pickle_globals(here / "computed.pt") == ["posix.<computed>"]


def test_scan_agrees_with_the_unpickler(here, net):
    """Every global that the real unpickler asks for is in the list, and no other."""
    asked = set()

    class Listening(pickle.Unpickler):
        def find_class(self, module, name):
            asked.add(f"{module}.{name}")
            return super().find_class(module, name)

    for protocol in range(6):
        content = {"a": torch.nn.Linear(2, 2).state_dict(), "b": io.BytesIO, "c": {1, 2}, "d": range(3)}
        data = pickle.dumps(content, protocol)
        asked.clear()
        Listening(io.BytesIO(data)).load()
        (here / "p.pkl").write_bytes(data)
        assert pickle_globals(here / "p.pkl") == sorted(asked)


def test_other_contents(here, refused):
    for content, fragment in [
        (torch.ones(3), "holds a Tensor"),
        ({"epoch": 3}, "it has keys 'epoch'"),
        ([], "holds a list"),
        ({}, "it has nothing"),
    ]:
        torch.save(content, here / "w.pt")
        assert fragment in refused(here / "w.pt", factory="tinynet:build", inputs=("x=1x3x8x8",))
