"""The source inside a TorchScript archive: which operators it calls, read without loading it.

torch's printer writes a small language: strings in double quotes, no comments, operators as ``torch.NAME`` and
``ops.NAMESPACE.NAME``, methods and functions by the names that the archive defines. Text beyond it is refused, so that this reader
and torch's cannot disagree about what is code.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

import torch

from .operators import is_tensor_operator

_STRING = re.compile(r'(?<![\w"])"(?:[^"\\\n]|\\.)*"(?!")')
_UNKNOWN = re.compile(r"[\"'\\#`;$?!]")
_DEFINED = re.compile(r"\b(?:def|class)\s+([A-Za-z_]\w*)", re.ASCII)
_CLASS = re.compile(r"\bclass\s+\w+\s*\(([^)]*)\)", re.ASCII)
_CALL_OF_A_VALUE = re.compile(r"[)\]}\"]\s*\(")
_GETATTR = re.compile(r'\bgetattr\s*\(\s*[\w.()]+\s*,\s*"(\w+)"\s*\)', re.ASCII)
_BUILTIN = re.compile(r"(?<![\w.])(?:torch|ops)(?:\s*\.\s*\w+)*", re.ASCII)
_MEMBER = re.compile(r"\.\s*([A-Za-z_]\w*)(\s*\()?", re.ASCII)
_BARE = re.compile(r"(?<![\w.])([A-Za-z_]\w*)(\s*\()?", re.ASCII)

_BASES = frozenset({"Module", "NamedTuple", "Enum", "Exception", ""})
_LANGUAGE = frozenset({
    "and", "annotate", "as", "assert", "bool", "class", "complex", "def", "elif", "else", "float", "for", "if", "in",
    "int", "is", "isinstance", "len", "max", "min", "not", "or", "pass", "range", "return", "str", "unchecked_cast",
    "uninitialized", "while", "with", "zip", "enumerate", "list", "tuple", "dict", "abs", "round", "sorted", "super",
})  # fmt: skip
"""Words that may stand before a parenthesis: keywords, conversions and the printer's own functions."""
_METHODS = frozenset({"__new__"})
_REFUSED_WORDS = frozenset({"import", "from", "exec", "eval", "print", "fork", "awaitable", "lambda", "global"})
_NAMESPACES = frozenset({"aten", "prim", "quantized", "quantized_decomposed", "torchvision"})
_PRIM = frozenset({
    "RaiseException", "NumToTensor", "StringIndex", "TupleIndex", "abs", "data", "device", "dtype", "grad", "index",
    "is_cpu", "is_cuda", "is_meta", "is_mkldnn", "is_mps", "is_nested", "is_quantized", "is_sparse", "is_sparse_csr", "is_xla",
    "is_xpu", "itemsize", "layout", "max", "min", "name", "nbytes", "rangelist", "requires_grad", "shape", "tolist", "type",
    "unchecked_cast", "unchecked_unwrap_optional", "EnumName", "EnumValue", "Uninitialized",
    "Constant", "GetAttr", "SetAttr", "CallMethod", "CallFunction", "If", "Loop", "ListConstruct", "ListUnpack",
    "TupleConstruct", "TupleUnpack", "TupleSlice", "DictConstruct", "CreateObject", "Enter", "Exit", "isinstance", "Return",
    "ModuleContainerIndex", "Param", "IfThenElse", "ConstantChunk", "HasAttr", "min_max", "Load", "Store",
})  # fmt: skip
"""Operators of the language on values, and the nodes of a graph that are the language itself."""


def refused_code(sources: dict[str, str]) -> str | None:
    """The first thing in the sources, by file, that is not a tensor operator or plain language; None if there is none."""
    bare = {}
    for name, text in sources.items():
        if '"""' in text or not all(c == "\n" or (c.isascii() and c.isprintable()) for c in text):
            return f"text in {name}, which torch's printer does not write,"
        code = _STRING.sub('""', _GETATTR.sub(r"getattr .\1", text))
        if wrong := _UNKNOWN.search(code.replace('""', "").replace("!=", "")):
            return f"{wrong.group()!r} in {name}, which torch's printer does not write,"
        bare[name] = code
    defined = {name for text in bare.values() for name in _DEFINED.findall(text)}
    return next((found for code in bare.values() for found in _refused(code, defined)), None)


def _refused(code: str, defined: set[str]) -> Iterator[str]:
    yield from (f"a class of {base.strip()[:40]!r}" for base in _CLASS.findall(code) if base.strip() not in _BASES)
    for builtin in _BUILTIN.findall(code):
        name = "::".join(re.sub(r"\s", "", builtin).split("."))
        name = name.removeprefix("ops::") if name.startswith("ops") else name.replace("torch", "aten", 1)
        if not is_script_operator(name):
            yield name
    code = _BUILTIN.sub(" _0", code)
    if wrong := _CALL_OF_A_VALUE.search(code):
        yield f"a call of a value, {code[max(0, wrong.start() - 20) : wrong.end()].strip()!r}"
    for name, call in _MEMBER.findall(code):
        yield from _refused_member(name, bool(call), defined)
    for name, call in _BARE.findall(code):
        known = name in defined | _LANGUAGE or re.fullmatch(r"_\d+", name)
        if name in _REFUSED_WORDS or (call and not known):
            yield name


def _refused_member(name: str, call: bool, defined: set[str]) -> Iterator[str]:
    """An attribute or method. On a tensor, the operator of that name is called; other methods are those of the archive."""
    if name == "classes":
        yield "a native class (torch.classes)"
    elif call and name not in defined | _METHODS:
        yield f"the method {name!r}"
    elif _registered(f"aten::{name}") and not is_script_operator(f"aten::{name}"):
        yield f"aten::{name}"


@lru_cache(maxsize=4096)
def _registered(operator: str) -> bool:
    return bool(torch._C._jit_get_schemas_for_operator(operator))


@lru_cache(maxsize=4096)
def is_script_operator(operator: str) -> bool:
    """Whether every form of an operator, ``aten::add``, only computes. Operators that are not registered here do not."""
    namespace, _, name = operator.partition("::")
    if namespace == "prim":
        return name in _PRIM
    if namespace not in _NAMESPACES or not name:
        return False
    schemas = torch._C._jit_get_schemas_for_operator(operator)
    return bool(schemas) and all(is_tensor_operator(schema) for schema in schemas)


def refused_node(graph: "torch._C.Graph | torch._C.Block") -> str | None:
    """The kind of the first node in a compiled graph that is not a tensor operator or the language; None if there is none."""
    for node in graph.nodes():
        if not is_script_operator(node.kind()):
            return str(node.kind())
        if found := next((kind for block in node.blocks() if (kind := refused_node(block))), None):
            return found
    return None
