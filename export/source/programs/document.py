"""The JSON of a program, checked field by field and written again from what is known.

The walk follows torch's own schema (``torch._export.serde.schema``): every value must have the type of its field, and every text
must satisfy the rule of its field. A text field without a rule is refused, so that a new version of torch opens nothing. Fields
that the schema does not have are left out, as torch does.
"""

import json
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from torch._export.serde import schema
from torch._export.serde.union import _Union

from ....errors import InputError
from .expressions import is_arithmetic, is_symbol
from .names import is_dotted, is_identifier
from .operators import is_target
from .tree_spec import checked_spec

TRUST = "pass --allow-pickle only if you trust whoever made the file"
_DEVICES = frozenset({"cpu", "cuda", "meta", "mps", "xpu", "mkldnn"})
_VERSION = re.compile(r"[\w.+<=-]{1,80}", re.ASCII)
_VERIFIERS = frozenset({"", "ATEN", "TRAINING"})
_PAYLOAD = re.compile(r"(weight|tensor)_[0-9]{1,9}")
_LARGEST = 2**64


@dataclass(frozen=True)
class Rule:
    """What a text may be. ``words`` completes "FILE …", with ``{}`` for the text."""

    words: str
    allows: Callable[[str], bool]


_NAME = Rule("has the name {}, which is not a plain identifier", is_identifier)
_NAME_OR_NONE = Rule(_NAME.words, lambda text: not text or is_identifier(text))
_PATH = Rule("has the weight {}, which is not a plain dotted name", is_dotted)
_MODULE = Rule("has the module {}, which is not a plain dotted name", lambda text: not text or is_dotted(text))
_TARGET = Rule("calls {}, which is not an operator that programs may call", is_target)
_SYMBOL = Rule("has the size {}, which is not a symbol", is_symbol)
_OBJECT = Rule("holds a pickled object ({})", lambda text: False)
_TEXT = Rule("", lambda text: True)

RULES: dict[str, Rule] = {
    "Argument.as_operator": _TARGET,
    "Argument.as_string": _TEXT,  # a mode, an equation, a message: written into source by repr()
    "Argument.as_string_to_argument": _NAME,
    "Argument.as_strings": _TEXT,
    "BufferMutationSpec.buffer_name": _PATH,
    "ConstantValue.as_string": _TEXT,
    "CustomObjArgument.class_fqn": _OBJECT,
    "CustomObjArgument.name": _OBJECT,
    "Device.type": Rule("is for the device {}", lambda text: text in _DEVICES),
    "ExportedProgram.opset_version": _NAME,
    "ExportedProgram.range_constraints": _SYMBOL,
    "ExportedProgram.torch_version": Rule("is of torch {}", lambda text: _VERSION.fullmatch(text) is not None),
    "ExportedProgram.verifiers": Rule("names the verifier {}", lambda text: text in _VERIFIERS),
    "GradientToParameterSpec.parameter_name": _PATH,
    "GradientToUserInputSpec.user_input_name": _NAME,
    "Graph.custom_obj_values": _OBJECT,
    "Graph.sym_bool_values": _NAME,
    "Graph.sym_float_values": _NAME,
    "Graph.sym_int_values": _NAME,
    "Graph.tensor_values": _NAME,
    "GraphArgument.name": _NAME,
    "GraphModule.treespec_namedtuple_fields": _PATH,
    "InputToBufferSpec.buffer_name": _PATH,
    "InputToConstantInputSpec.name": _NAME_OR_NONE,
    "InputToCustomObjSpec.custom_obj_name": _OBJECT,
    "InputToParameterSpec.parameter_name": _PATH,
    "InputToTensorConstantSpec.tensor_constant_name": _PATH,
    "ModuleCallEntry.fqn": _MODULE,
    "ModuleCallSignature.forward_arg_names": _NAME,
    "NamedArgument.name": _NAME_OR_NONE,  # empty for a positional argument
    "NamedTupleDef.field_names": _NAME,
    "Node.name": _NAME,
    "Node.target": _TARGET,
    "ParameterMutationSpec.parameter_name": _PATH,
    "PayloadConfig.config": _PATH,
    "PayloadMeta.path_name": Rule(
        "holds a pickled object, or a weight in another place ({})", lambda text: _PAYLOAD.fullmatch(text) is not None
    ),
    "SymBoolArgument.as_name": _NAME,
    "SymExpr.expr_str": Rule("has a symbolic size that is not arithmetic: {}", is_arithmetic),
    "SymFloatArgument.as_name": _NAME,
    "SymIntArgument.as_name": _NAME,
    "TensorArgument.name": _NAME,
    "TokenArgument.name": _NAME,
    "UserInputMutationSpec.user_input_name": _NAME,
}
"""The rule of each text of the schema, by class and field; for a dictionary, that of its keys."""

# What the program does not need: Python source, JSON of any kind, and notes on where a node came from.
DROPPED = frozenset({"ExportedProgram.guards_code", "GraphModule.metadata"})
_SPECS = frozenset({"ModuleCallSignature.in_spec", "ModuleCallSignature.out_spec"})
# torch evaluates a path of modules in some places: without parentheses nothing is called.
_STACK = re.compile(r"[\w.@\[\]'\"-]*,[\w.@\[\]'\"-]*,[\w.<>-]*", re.ASCII)


def checked_document(content: bytes, kind: str, path: Path, member: str) -> bytes:
    """Return the JSON of a class of the schema, ``ExportedProgram`` or ``PayloadConfig``, written again from what is allowed.

    Raises InputError, which names the text, for anything else.
    """
    try:
        document = json.loads(content)
        return json.dumps(_Walk(path, member).checked(getattr(schema, kind), document, kind)).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"{member} in {path} is not JSON", "save it again with torch.export.save") from error


@dataclass(frozen=True)
class _Walk:
    path: Path
    member: str

    def checked(self, kind: Any, value: Any, field: str) -> Any:
        """The value as the type ``kind``; ``field`` is its class and name."""
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if isinstance(kind, str):  # a class that is defined further down
            kind = getattr(schema, kind)
        if origin in (typing.Union, UnionType):
            first = next(part for part in inner if part is not NoneType)
            return None if value is None else self.checked(first, value, field)
        if origin is list:
            self._expect(isinstance(value, list), field, value)
            return [self.checked(inner[0], item, field) for item in value]
        if origin is dict:
            self._expect(isinstance(value, dict), field, value)
            return self._checked_items(inner[1], value, field)
        if is_dataclass(kind):
            self._expect(isinstance(value, dict), field, value)
            return self._checked_fields(typing.cast(type, kind), value, field)
        return self._checked_value(kind, value, field)

    def _checked_items(self, kind: Any, items: dict[str, Any], field: str) -> dict[str, Any]:
        if field == "Node.metadata":
            return _described(items)
        return {self._checked_text(key, field): self.checked(kind, value, field) for key, value in items.items()}

    def _checked_fields(self, kind: type, document: dict[str, Any], field: str) -> dict[str, Any]:
        known = _types(kind)
        if issubclass(kind, _Union):
            self._expect(len(document) == 1 and set(document) <= set(known), field, document)
        return {
            name: self.checked(known[name], value, f"{kind.__name__}.{name}")
            for name, value in document.items()
            if name in known and f"{kind.__name__}.{name}" not in DROPPED
        }

    def _checked_value(self, kind: Any, value: Any, field: str) -> Any:
        if kind is str:
            self._expect(isinstance(value, str), field, value)
            return self._checked_text(value, field)
        if kind is float:  # JSON has no infinity: torch writes the word
            self._expect(isinstance(value, int | float) or value in ("Infinity", "-Infinity", "NaN"), field, value)
        elif kind is bool:
            self._expect(isinstance(value, bool), field, value)
            if field == "PayloadMeta.use_pickle" and value:
                raise InputError(
                    f"{self.path} holds pickled weights ({self.member})", f"save plain tensors, or {TRUST}"
                )
        elif kind is int:
            self._expect(isinstance(value, int) and abs(value) < _LARGEST, field, value)
        else:
            known = isinstance(kind, type) and issubclass(kind, IntEnum) and value in {int(item) for item in kind}
            self._expect(known and isinstance(value, int), field, value)
        return value

    def _checked_text(self, text: str, field: str) -> str:
        if field in _SPECS:
            try:
                return checked_spec(text, inputs=field.endswith("in_spec"))
            except ValueError as error:
                side = "inputs" if field.endswith("in_spec") else "outputs"
                raise InputError(f"{self.path} builds its {side} from what is not allowed: {error}", TRUST) from error
        rule = RULES.get(field)
        if rule is None:
            raise InputError(
                f"{self.path} has the field {field}, which this version of attnexport does not know",
                "update attnexport",
            )
        if not rule.allows(text):
            raise InputError(f"{self.path} {rule.words.format(repr(text[:80]))}", TRUST)
        return text

    def _expect(self, holds: bool, field: str, value: Any) -> None:
        if not holds:
            raise InputError(
                f"{self.member} in {self.path} has {str(value)[:60]!r} as {field}",
                "save it again with torch.export.save",
            )


def _described(metadata: dict[str, Any]) -> dict[str, str]:
    """The module and the source line of a node: what attnexport shows. Modules of other forms are left out."""
    trace, stack = metadata.get("stack_trace"), metadata.get("nn_module_stack")
    kept = {"stack_trace": trace} if isinstance(trace, str) else {}
    if isinstance(stack, str) and all(_STACK.fullmatch(item) for item in stack.split(";")):
        kept["nn_module_stack"] = stack
    return kept


@lru_cache
def _types(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, globalns=vars(schema))
    return {field.name: hints[field.name] for field in fields(kind)}


def text_fields() -> set[str]:
    """The text fields of the schema below a program and its weights, and those with texts as keys: each needs a rule."""
    found: set[str] = set()
    pending, seen = [schema.ExportedProgram, schema.PayloadConfig], set()
    while pending:
        kind = pending.pop()
        if kind in seen:
            continue
        seen.add(kind)
        for name, hint in _types(kind).items():
            classes, texts = _parts(hint)
            pending.extend(classes)
            found |= {f"{kind.__name__}.{name}"} if texts else set()
    return found


def _parts(hint: Any) -> tuple[list[Any], bool]:
    if hint is str:
        return [], True
    if is_dataclass(hint):
        return [hint], False
    parts = [_parts(part) for part in typing.get_args(hint)]
    return [kind for classes, _ in parts for kind in classes], any(texts for _, texts in parts)
