"""Check that a torch.export archive can be read without running code from the file.

``torch.export.load`` (torch 2.13) can run code from a file in six ways. This module closes each of them:

- tensors stored with ``use_pickle`` are read with ``weights_only=False``: refused; example inputs fall back to it after
  a failure: every nested file must load with ``weights_only=True`` first;
- ``opaque_obj_*`` constants go through ``pickle.loads`` and ``custom_obj_*`` through a TorchBind unpickler: refused;
- AOTInductor packages contain shared libraries: refused;
- symbolic sizes go through ``sympy.sympify``, which is ``eval``: only arithmetic on names passes;
- operator names are looked up as attributes of ``torch``, so ``torch.os.system`` is found (torch's verifier
  refuses some of them, later): only operators of ``torch.ops`` and arithmetic on sizes pass;
- input guards are compiled as Python when the program becomes a module: dropped after loading (:mod:`.exported`).
"""

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from .words import reason

_OPERATOR = re.compile(
    r"torch\.ops\.(?!load_library\b)[A-Za-z]\w*\.(?:__i?(?:and|or|xor|lshift|rshift)__|_?[A-Za-z]\w*)(?:\.\w+)?"
    r"|_operator\.(?:getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|xor|not_|lshift|rshift|index)"
    r"|math\.(?:ceil|floor|trunc|sqrt|pow|log|exp)"
    r"|torch\._?sym_\w+|torch\.fx\.experimental\.symbolic_shapes\.\w+"
)
# Operators that reach the file system although they are torch.ops.
_FILES = re.compile(r"torch\.ops\.(?:aten\.(?:from_file|save|load)\b|profiler\.)")
_EXPRESSION = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call,
    ast.keyword, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_FUNCTIONS = frozenset({
    "Add", "Mul", "Pow", "Mod", "Min", "Max", "Abs", "Integer", "Float", "Rational", "Symbol", "Eq", "Ne", "Equality",
    "Unequality", "Lt", "Le", "Gt", "Ge", "LessThan", "GreaterThan", "StrictLessThan", "StrictGreaterThan", "And", "Or",
    "Not", "floor", "ceiling", "FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing", "PythonMod", "Where", "IntTrueDiv",
    "FloatTrueDiv", "FloatPow", "PowByNatural", "CeilToInt", "FloorToInt", "TruncToInt", "TruncToFloat", "RoundToInt",
    "RoundDecimal", "ToFloat", "Identity", "LShift", "RShift", "BitwiseFn_bitwise_and", "BitwiseFn_bitwise_or", "sqrt",
    "log", "exp", "OpaqueUnaryFn_sqrt",
})  # fmt: skip


def checked_archive(data: bytes, path: Path) -> bytes:
    """Return the archive, packed again from the members that were checked, so that no zip reader finds other members.

    Raises InputError, naming the member and its content, if loading it with torch.export could run code.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(packed, "w") as checked:
        names = archive.namelist()
        # torch's reader ignores case: it would confuse two members that differ only in case.
        if len({n.lower() for n in names}) != len(names):
            raise InputError(f"{path} names a member twice", "save it again with torch.export.save")
        for name in names:
            content = archive.read(name)
            _check_member(name, content, path)
            checked.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def _check_member(name: str, content: bytes, path: Path) -> None:
    lower = name.lower()
    if "data/aotinductor/" in lower:
        raise InputError(f"{path} holds compiled code ({name})", "give the .pt2 that torch.export.save writes")
    if lower.endswith(".json") or "/models/" in f"/{lower}":
        _check_json(content, name, path)
    elif lower.endswith(".pt") and content:
        try:
            torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:
            raise InputError(
                f"{name} in {path} is a pickle that loads more than tensors: {reason(error, 160)}",
                "export with plain tensors as example inputs, or pass --allow-pickle if you trust the file",
            ) from error


def _check_json(content: bytes, name: str, path: Path) -> None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} in {path} is not JSON", "save it again with torch.export.save") from error
    for key, value in _walk(document):
        if key == "use_pickle" and value:
            raise InputError(
                f"{path} holds pickled weights ({name})", "save plain tensors, or pass --allow-pickle if you trust it"
            )
        if key == "path_name" and str(value).startswith(("custom_obj_", "opaque_obj_")):
            raise InputError(
                f"{path} holds a pickled object ({value})", "export a model of tensors only, or pass --allow-pickle"
            )
        if key == "expr_str" and not _is_arithmetic(str(value)):
            raise InputError(
                f"{path} has a symbolic size that is not arithmetic: {str(value)[:80]!r}", "do not load this file"
            )
        if key == "target" and isinstance(value, str) and not _is_operator(value):
            raise InputError(f"{path} calls {value[:80]!r}, which is not an operator", "do not load this file")
        if key in ("in_spec", "out_spec") and "__enum__" in str(value):
            raise InputError(
                f"{path} imports an enumeration to build its inputs", "export a forward that takes tensors only"
            )


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield from item.items()
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def _is_operator(target: str) -> bool:
    # The signature also lists the names of weights under "target"; only names that are looked up from a module matter.
    if not target.startswith(("torch", "_operator", "math", "#")):
        return True
    return _OPERATOR.fullmatch(target) is not None and not _FILES.match(target)


def _is_arithmetic(text: str) -> bool:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, _EXPRESSION):
            return False
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS):
            return False
        # Some sympy functions evaluate strings: only names pass.
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str | bytes)
            and not str(node.value).isidentifier()
        ):
            return False
        if isinstance(node, ast.Name) and node.id.startswith("__"):
            return False
    return True
