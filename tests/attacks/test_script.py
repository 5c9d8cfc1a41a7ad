"""Hostile TorchScript: operators on files, code that runs while the module is loaded, native classes, and text that two readers
could read otherwise."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from attnexport.export.source.script import load_script

from .exported import rewritten


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scaled(self.conv(x)) + 1.0


@pytest.fixture(scope="module")
def script() -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(Net().eval()), stream)
    return stream.getvalue()


def source_of(script: bytes) -> tuple[str, str]:
    with zipfile.ZipFile(io.BytesIO(script)) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".py") and b"def scaled" in archive.read(n))
        return name, archive.read(name).decode()


def with_source(script: bytes, to: Path, change) -> Path:
    member, _ = source_of(script)
    return rewritten(script, to, lambda name, content: change(content.decode()).encode() if name == member else content)


def with_line(script: bytes, to: Path, line: str) -> Path:
    """The module with a statement at the beginning of forward."""

    def change(text: str) -> str:
        head, mark, body = text.partition("def forward(")
        signature, end, rest = body.partition("-> Tensor:\n")
        assert end
        indented = "".join(f"    {part}\n" for part in line.split("\n"))
        return head + mark + signature + end + indented + rest

    return with_source(script, to, change)


def test_an_untouched_copy_loads(script, tmp_path):
    path = rewritten(script, tmp_path / "m.pt", lambda name, content: content)
    assert load_script(path)(torch.ones(1, 3, 8, 8)).shape == (1, 4, 6, 6)


@pytest.mark.parametrize("form", ['torch.save(x, "{}")', 'ops.aten.save(x, "{}")', 'a = torch.save\n_9 = a(x, "{}")'])
def test_the_attack_on_files_is_real(script, tmp_path, canary, form):
    path = with_line(
        script, tmp_path / "evil.pt", "_8 = " + form.format(canary) if "a =" not in form else form.format(canary)
    )
    torch.jit.load(path)(torch.ones(1, 3, 8, 8))
    assert canary.exists()


LINES = {
    # An operator that is not one on tensors, in every spelling.
    'torch.save(x, "{}")': "aten::save",
    'ops.aten.save(x, "{}")': "aten::save",
    'torch . save(x, "{}")': "aten::save",
    'torch.\nsave(x, "{}")': "aten::save",
    '(x).save("{}")': "the method 'save'",
    'x.save("{}")': "the method 'save'",
    '5 .save("{}")': "the method 'save'",
    '5. .save("{}")': "the method 'save'",
    '[x].save("{}")': "the method 'save'",
    '"text".save("{}")': "the method 'save'",
    'a = torch.save\n_9 = a(x, "{}")': "aten::save",
    'a = torch\n_9 = a.save(x, "{}")': "aten",
    'a = ops\n_9 = a.aten.save(x, "{}")': "ops",
    'a = ops.aten\n_9 = a.save(x, "{}")': "aten",
    'a = x.save\n_9 = a("{}")': "aten::save",
    '(torch).save(x, "{}")': "aten",
    '(torch.save)(x, "{}")': "aten::save",
    'getattr(x, "save")("{}")': "",
    'a = getattr(x, "save")\n_9 = a("{}")': "aten::save",
    'getattr(x, "sa\\x76e")("{}")': "",
    'getattr(torch, "save")(x, "{}")': "",
    '[torch.save][0](x, "{}")': "aten::save",
    'y = torch.from_file("{}", True, 4)': "aten::from_file",
    'y = ops.aten.from_file("{}", True, 4)': "aten::from_file",
    'y = torch.add(x, torch.from_file("{}", True, 4))': "aten::from_file",
    'print("{}")': "print",
    'torch._print("{}")': "aten::_print",
    'ops.prim.Print("{}")': "prim::Print",
    'ops.prim.PythonOp("{}")': "prim::PythonOp",
    "ops.profiler._record_function_enter(\"{}\", None)": "profiler::_record_function_enter",
    'ops.image.read_file("{}")': "image::read_file",
    'ops.image.write_file("{}", x)': "image::write_file",
    'ops.c10d.barrier("{}")': "c10d::barrier",
    'ops.inductor._alloc_from_pool(x, 0, 6, [1], [1])': "inductor::_alloc_from_pool",
    'ops.evil.run("{}")': "evil::run",
    'ops.aten.nothing("{}")': "aten::nothing",
    'torch.set_data(x, x)': "aten::set_data",
    'torch.set_(x, x)': "aten::set_",
    'torch.manual_seed(1)': "aten::manual_seed",
    'fork(x)': "fork",
    'awaitable(x)': "awaitable",
    'rpc_async("{}", x)': "rpc_async",
    'open("{}")': "open",
    'eval("{}")': "eval",
    '__import__("os")': "__import__",
    'import os': "import",
    'from os import path': "from",
    # Classes of libraries.
    '_9 = __torch__.torch.classes.backends.Nnapi("{}")': "native class",
    '_9 = annotate(__torch__.torch.classes.c10d.Work, None)': "native class",
    # Text that this reader and torch's could read otherwise.
    "torch.add(x, 1) # \"\ntorch.save(x, '{}') # \"": "#",
    "'{}'": "which torch's printer does not write",
    '"""x"""': "which torch's printer does not write",
    'r"\\" + torch.save(x, "{}") + "': "",
    'f"{}"': "which torch's printer does not write",
    'torch.a\\\ndd(x, 1)': "which torch's printer does not write",
    'torch.save\u00a0(x, "{}")': "",
    'torch.\uff53ave(x, "{}")': "",
    'torch.add(x, 1); torch.save(x, "{}")': "which torch's printer does not write",
    'torch.add(x, 1)\rtorch.save(x, "{}")': "",
    'torch.add(x, 1)\x0c': "",
    '\ttorch.add(x, 1)': "",
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("where", ["forward", "method"])
def test_a_line_that_does_more_than_compute(script, tmp_path, canary, refusal, line, where):
    text = line.replace("{}", str(canary))
    if where == "forward":
        evil = with_line(script, tmp_path / "evil.pt", text)
    else:
        evil = with_source(
            script, tmp_path / "evil.pt",
            lambda source: source.rstrip("\n") + "\n  def more(self: __torch__.tests.Net,\n    x: Tensor) -> Tensor:\n"
            + "".join(f"    {part}\n" for part in text.split("\n")) + "    return x\n",
        )  # fmt: skip
    message = refusal(evil)
    assert LINES[line] in message
    assert "--allow-pickle" in message


@pytest.mark.parametrize("name", ["__setstate__", "__getstate__"])
def test_state_that_is_restored_by_code(script, tmp_path, canary, refusal, name):
    def change(source):
        return source.rstrip("\n") + (
            f'\n  def {name}(self: __torch__.X,\n    state: Tensor) -> NoneType:\n    torch.save(state, "{canary}")\n    return None\n'
        )

    assert f"runs {name} while it is loaded" in refusal(with_source(script, tmp_path / "evil.pt", change))


class Restored(torch.nn.Module):
    """A module whose restoring writes a file: torch.jit.load calls it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.ops.aten.save(state[0], state[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_the_attack_by_setstate(tmp_path, canary, refusal):
    torch.jit.save(torch.jit.script(Restored(str(canary)).eval()), tmp_path / "evil.pt")
    assert "while it is loaded" in refusal(tmp_path / "evil.pt")
    torch.jit.load(tmp_path / "evil.pt")
    assert canary.exists()


@pytest.mark.parametrize("base", ["Interface", "ModuleInterface", "object", "torch.nn.Module"])
def test_a_class_of_another_kind(script, tmp_path, refusal, base):
    evil = with_source(script, tmp_path / "evil.pt", lambda source: f"class Other({base}):\n  pass\n" + source)
    assert "in its code" in refusal(evil)


class Plant:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("member", ["data.pkl", "constants.pkl"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda canary: pickle.dumps(Plant(canary), 2), "which is not TorchScript"),
        (lambda canary: b"\x80\x02c__torch__.torch.classes.backends\nNnapi\n.", "a native class"),
        (lambda canary: b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00x\x85R.", "builds 'os system'"),
        (lambda canary: b"\x80\x02ctorch._C\n_load_library\n.", "builds 'torch._C _load_library'"),
        (lambda canary: b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "which is not TorchScript"),
        (lambda canary: b"\x80\x02\x82\x01.", "which is not TorchScript"),
        (lambda canary: b"\x80\x02", "is a damaged pickle"),
    ],
)
def test_what_the_pickles_build(script, tmp_path, canary, refusal, member, content, words):
    evil = rewritten(script, tmp_path / "evil.pt", lambda n, c: content(canary) if n.endswith(f"/{member}") else c)
    assert words in refusal(evil)


@pytest.mark.parametrize(
    "member", ["code/../x.py", "code/x.so", "model.json", "tensors/0", "code/x", "lib/x.py", "data/x"]
)
def test_a_member_that_torchscript_does_not_have(script, tmp_path, refusal, member):
    evil = rewritten(script, tmp_path / "evil.pt", lambda n, c: c, {member: b"x"})
    assert member in refusal(evil)


def test_a_member_named_twice(script, tmp_path, refusal):
    member, text = source_of(script)
    evil = rewritten(script, tmp_path / "evil.pt", lambda n, c: c)
    with zipfile.ZipFile(evil, "a") as archive:
        archive.writestr(member.upper(), text)
    assert "names a member twice" in refusal(evil)


def test_trusted_files_load(script, tmp_path, canary):
    evil = with_line(script, tmp_path / "evil.pt", f'torch.save(x, "{canary}")')
    assert load_script(evil, allow_pickle=True) is not None
