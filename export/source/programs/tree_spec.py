"""How a program nests its inputs and outputs: JSON, with a context that is again JSON. torch imports what some contexts name.

A specification is read here and written again from what is known, so that no spelling of a text escapes the check.
"""

import json
import re
from typing import Any

from .names import is_dotted, is_identifier

_LISTS = frozenset({
    "builtins.tuple", "builtins.list", "torch.fx.immutable_collections.immutable_list", "torch.Size",
})  # fmt: skip
_DICTS = frozenset({
    "builtins.dict", "collections.OrderedDict", "torch.fx.immutable_collections.immutable_dict",
})  # fmt: skip
_OUTPUT_KEY = re.compile(r"[\w .:/@+-]{1,200}", re.ASCII)
_PROTOCOL = 1
_DEEPEST = 40


def checked_spec(text: str, *, inputs: bool) -> str:
    """Return the specification, written again. Raises ValueError, which says what is not allowed.

    The keys of ``inputs`` become parameters of generated source: they are identifiers.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not (isinstance(document, list) and len(document) == 2 and document[0] == _PROTOCOL):
        raise ValueError(f"{text[:40]!r} is not a specification of protocol {_PROTOCOL}")
    return json.dumps([_PROTOCOL, _checked(document[1], inputs, 0)])


def _checked(node: Any, inputs: bool, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if not (isinstance(node, dict) and {"type", "context", "children_spec"} <= set(node)):
        raise ValueError(f"{str(node)[:40]!r} has no type, context and children")
    kind, context, children = node["type"], node["context"], node["children_spec"]
    if not isinstance(children, list):
        raise ValueError(f"{str(children)[:40]!r} is not a list of children")
    return {
        "type": kind,
        "context": _context(kind, context, len(children), inputs),
        "children_spec": [_checked(child, inputs, depth + 1) for child in children],
    }


def _context(kind: Any, context: Any, children: int, inputs: bool) -> str | None:
    if kind is None:
        if context is not None or children:
            raise ValueError(f"{str(context)[:40]!r} is the context of a leaf")
        return None
    if not isinstance(kind, str) or not isinstance(context, str):
        raise ValueError(f"{str(kind)[:40]!r} has a context that is not text")
    if kind == "collections.namedtuple":  # the context is the name of a class that this process registered
        if not is_dotted(context):
            raise ValueError(f"{context[:40]!r} is not the name of a class")
        return context
    if kind not in _LISTS | _DICTS | {"collections.deque"}:
        raise ValueError(f"{kind[:60]!r} is not a container that programs may have")
    value = json.loads(context)
    if kind in _DICTS:
        if not (isinstance(value, list) and len(value) == children):
            raise ValueError(f"{context[:40]!r} is not a list of {children} keys")
        if wrong := [key for key in value if not _is_key(key, inputs)]:
            raise ValueError(f"{str(wrong[0])[:60]!r} is not a plain key")
    elif value is not None and not (kind == "collections.deque" and isinstance(value, int)):
        raise ValueError(f"{context[:40]!r} is not a context of {kind}")
    return json.dumps(value)


def _is_key(key: object, inputs: bool) -> bool:
    if inputs:
        return isinstance(key, str) and is_identifier(key)
    return isinstance(key, int) or (isinstance(key, str) and _OUTPUT_KEY.fullmatch(key) is not None)
