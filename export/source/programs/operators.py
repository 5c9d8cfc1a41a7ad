"""The operators that a program may call: those of PyTorch on tensors and numbers, by namespace, by types and by name.

A program that calls anything else can touch files, other processes or the state of this one.
"""

import re
from functools import lru_cache

import torch

_NAMESPACES = frozenset({"aten", "prims", "attnexport", "torchvision", "quantized", "quantized_decomposed"})
_NAME = re.compile(r"torch\.ops\.(\w+)\.(\w+)(?:\.(\w+))?", re.ASCII)
_HIGHER_ORDER = frozenset({
    "associative_scan", "cond", "invoke_subgraph", "map_impl", "scan", "tag_activation_checkpoint", "while_loop",
    "wrap_activation_checkpoint", "wrap_with_autocast", "wrap_with_set_grad_enabled",
})  # fmt: skip
_FUNCTIONS = frozenset(
    [f"_operator.{name}" for name in (
        "abs", "add", "and_", "eq", "floordiv", "ge", "getitem", "gt", "index", "le", "lshift", "lt", "mod", "mul", "ne", "neg",
        "not_", "or_", "pos", "pow", "rshift", "sub", "truediv", "xor",
    )]
    + [f"math.{name}" for name in ("ceil", "exp", "floor", "log", "pow", "sqrt", "trunc")]
    + [f"torch.sym_{name}" for name in ("float", "int", "ite", "max", "min", "not", "sqrt", "sum")]
    + [f"torch._sym_{name}" for name in ("acos", "asin", "atan", "cos", "cosh", "log2", "sin", "sinh", "sqrt", "tan", "tanh")]
)  # fmt: skip

_TYPES = frozenset({
    "Tensor", "int", "float", "bool", "number", "complex", "str", "Device", "Generator", "QScheme", "NoneType", "List", "Dict",
    "Tuple", "Optional", "t", "t1", "t2", "tVal", "Any", "AnyEnumType",
})  # fmt: skip
"""The types of arguments and results: tensors, values, containers of them. Others (Storage, Stream, Future, RRef, classes of
libraries) reach memory, threads or machines."""
_TEXTS = frozenset({
    "UPLO", "a", "activation", "algorithm", "api_name", "approximate", "assert_msg", "b", "chars", "device_type", "dict",
    "driver", "el", "equation", "fillchar", "idx", "ind", "indexing", "input", "inputs", "interpolation", "item", "key", "l",
    "message", "mode", "msg", "cls", "new", "norm", "old", "ord", "p", "pad_mode", "padding", "padding_side", "reduce",
    "rounding_mode", "s", "self", "separator", "side", "string", "substr", "t", "to_add", "type", "values", "output", "",
})  # fmt: skip
"""The arguments that may be texts: modes, equations, and those of the operators on strings. ``filename`` is not among them."""
_REFUSED = frozenset({
    "aten::_print", "aten::save", "aten::from_file", "aten::load", "aten::set_data", "aten::manual_seed", "aten::seed",
    "aten::initial_seed", "aten::owner_name",
})  # fmt: skip
"""Operators of the right types that print, write, or change the state of the process."""


def is_target(text: str) -> bool:
    """Whether the target of a node of a ``.pt2`` is an operator that a program may call. Looks names up; imports nothing."""
    if text in _FUNCTIONS:
        return True
    match = _NAME.fullmatch(text)
    if match is None:
        return False
    namespace, name, overload = match.groups()
    if namespace == "higher_order":
        return overload is None and name in _HIGHER_ORDER
    return namespace in _NAMESPACES and overload is not None and _is_tensor_overload(f"{namespace}::{name}", overload)


@lru_cache(maxsize=4096)
def _is_tensor_overload(operator: str, overload: str) -> bool:
    try:
        schema = torch._C._get_schema(operator, "" if overload == "default" else overload)
    except RuntimeError:  # not registered here
        return False
    return is_tensor_operator(schema)


def is_tensor_operator(schema: torch._C.FunctionSchema) -> bool:
    """Whether an operator only computes: on tensors and values, and texts that are modes."""
    if schema.name in _REFUSED:
        return False
    for argument in (*schema.arguments, *schema.returns):
        words = set(re.findall(r"[\w.]+", str(argument.type)))
        if words - _TYPES or ("str" in words and argument.name not in _TEXTS):
            return False
    return True
