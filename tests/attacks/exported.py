"""Programs of torch.export to attack: how they are made, and the places in them where a text can be exchanged."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Edit = Callable[[Any, str], None]
"""Writes a text into the JSON of a program."""


class Branches(torch.nn.Module):
    """A weight, a buffer, a constant, a free axis, a branch, and outputs in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.register_buffer("shift", torch.ones(4, 1, 1))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = torch.cond(x.shape[0] > 3, lambda t: t * 2, lambda t: t + 1, (self.conv(x) + self.shift,))
        return {"y": torch.einsum("bchw->bc", y), "z": torch.nn.functional.pad(y, (1, 1, 1, 1), mode="reflect")}


def program_bytes() -> bytes:
    stream = io.BytesIO()
    shapes = {"x": {0: torch.export.Dim("rows", min=2, max=16)}}
    program = torch.export.export(Branches().eval(), (torch.randn(4, 3, 8, 8),), dynamic_shapes=shapes)
    torch.export.save(program, stream)
    return stream.getvalue()


def old_program_bytes(new: bytes) -> bytes:
    """The same program in the layout of torch 2.8 and older: JSON beside pickles of tensors, at the top of the zip."""
    program = torch.export.load(io.BytesIO(new))
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(new)) as archive, zipfile.ZipFile(stream, "w") as old:
        name = next(n for n in archive.namelist() if n.endswith("models/model.json"))
        old.writestr("version", "8.20")
        old.writestr("serialized_exported_program.json", archive.read(name))
        for member, content in (
            ("serialized_state_dict.pt", dict(program.state_dict)),
            ("serialized_constants.pt", dict(program.constants)),
            ("serialized_example_inputs.pt", ((torch.ones(4, 3, 8, 8),), {})),
        ):
            pickled = io.BytesIO()
            torch.save(content, pickled)
            old.writestr(member, pickled.getvalue())
    return stream.getvalue()


def rewritten(
    data: bytes, to: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes] | None = None
) -> Path:
    """Write a zip again with each member changed, and members added below its folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(to, "w") as new:
        root = old.namelist()[0].rpartition("/")[0].partition("/")[0]
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, content in (extra or {}).items():
            new.writestr(f"{root}/{name}" if root else name, content)
    return to


def with_document(data: bytes, to: Path, edit: Callable[[Any], None], member: str = "models/model.json") -> Path:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith(member):
            return content
        document = json.loads(content)
        edit(document)
        return json.dumps(document).encode()

    return rewritten(data, to, change)


def renamed(value: Any, old: str, new: str) -> Any:
    """The document with every text and key ``old`` exchanged, as a consistent attacker does."""
    if isinstance(value, dict):
        return {new if k == old else k: renamed(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [renamed(v, old, new) for v in value]
    return new if value == old else value


def everywhere(old: str) -> Edit:
    def edit(document: Any, text: str) -> None:
        changed = renamed(dict(document), old, text)
        document.clear()
        document.update(changed)

    return edit


def at(*path: str | int) -> Edit:
    """Exchange the value at a path in the JSON."""

    def edit(document: Any, text: str) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = text

    return edit


def key_at(*path: str | int) -> Edit:
    """Exchange the first key of the dictionary at a path."""

    def edit(document: Any, text: str) -> None:
        for step in path:
            document = document[step]
        first = next(iter(document))
        document[text] = document.pop(first)

    return edit


GRAPH = ("graph_module", "graph")
NODES = (*GRAPH, "nodes")


def node_of(document: Any, word: str) -> Any:
    return next(n for n in document["graph_module"]["graph"]["nodes"] if word in n["target"])


def in_branch(edit: Edit) -> Edit:
    """The same edit in the graph of a branch."""

    def inner(document: Any, text: str) -> None:
        graphs = [i["arg"]["as_graph"] for i in node_of(document, "cond")["inputs"] if "as_graph" in i["arg"]]
        edit({"graph_module": {"graph": graphs[0]["graph"]}}, text)

    return inner


def keyword_of_cond(document: Any, text: str) -> None:
    last = node_of(document, "cond")["inputs"][-1]
    last["name"], last["kind"] = text, 2


def branch_name(document: Any, text: str) -> None:
    next(i["arg"]["as_graph"] for i in node_of(document, "cond")["inputs"] if "as_graph" in i["arg"])["name"] = text


def spec_key(side: str) -> Edit:
    def edit(document: Any, text: str) -> None:
        leaf = {"type": None, "context": None, "children_spec": []}
        table = {"type": "builtins.dict", "context": json.dumps([text]), "children_spec": [leaf]}
        whole = {"type": "builtins.tuple", "context": "null", "children_spec": [
            {"type": "builtins.tuple", "context": "null", "children_spec": []}, table]}  # fmt: skip
        signature = document["graph_module"]["module_call_graph"][0]["signature"]
        signature[side], signature["forward_arg_names"] = json.dumps([1, whole if side == "in_spec" else table]), None

    return edit


def forward_argument(document: Any, text: str) -> None:
    document["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [text]


def constant_input(document: Any, text: str) -> None:
    value = {"constant_input": {"name": text, "value": {"as_int": 1}}}
    document["graph_module"]["signature"]["input_specs"].append(value)


def dictionary_argument(document: Any, text: str) -> None:
    node_of(document, "cond")["inputs"][-1]["arg"] = {"as_string_to_argument": {text: {"as_int": 1}}}


def nested_names(document: Any, text: str) -> None:
    document["graph_module"]["treespec_namedtuple_fields"] = {"a.B": {"field_names": [text]}}


NAMES: dict[str, Edit] = {
    "input": everywhere("x"),
    "node": at(*NODES, 0, "name"),
    "result": everywhere("conv2d"),
    "parameter node": everywhere("p_conv_weight"),
    "keyword of an operator": at(*NODES, 0, "inputs", 0, "name"),
    "keyword of a higher-order operator": keyword_of_cond,
    "branch": branch_name,
    "node in a branch": in_branch(at(*NODES, 0, "name")),
    "value in a branch": in_branch(key_at(*GRAPH, "tensor_values")),
    "parameter": everywhere("conv.weight"),
    "buffer": everywhere("shift"),
    "argument of forward": forward_argument,
    "key of the inputs": spec_key("in_spec"),
    "constant input": constant_input,
    "key of a dictionary argument": dictionary_argument,
    "field of a named tuple": nested_names,
    "module": at("graph_module", "module_call_graph", 1, "fqn"),
    "tensor value": key_at(*GRAPH, "tensor_values"),
    "symbol of a range": key_at("range_constraints"),
    "operator set": key_at("opset_version"),
    "verifier": at("verifiers", 0),
}
"""The places of names. Each reaches generated source, an attribute lookup or a table of torch."""
