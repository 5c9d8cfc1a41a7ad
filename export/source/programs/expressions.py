"""The sizes of a program: arithmetic on symbols. torch gives their text to ``sympy.sympify``, which evaluates it as Python.

The grammar: symbols such as ``s0``, numbers, arithmetic, comparisons, and calls of the functions below. Powers are small and do
not nest, because a text of ten characters could ask for a number that fills the memory.
"""

import ast
import re

_SYMBOL = re.compile(r"[a-z]{1,8}[0-9]{1,6}")
_NUMBER = re.compile(r"-?[0-9]{1,24}(\.[0-9]{1,64})?(e-?[0-9]{1,3})?")
_NODES = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call,
    ast.keyword, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_VALUES = frozenset({"True", "False", "oo", "int_oo", "pi", "E"})
_POWERS = frozenset({"Pow", "FloatPow", "PowByNatural", "LShift", "RShift", "exp"})
_FUNCTIONS = _POWERS | {
    "Add", "Mul", "Mod", "Min", "Max", "Abs", "Integer", "Float", "Rational", "Symbol", "Eq", "Ne", "Equality",
    "Unequality", "Lt", "Le", "Gt", "Ge", "LessThan", "GreaterThan", "StrictLessThan", "StrictGreaterThan", "And", "Or",
    "Not", "floor", "ceiling", "FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing", "PythonMod", "Where", "IntTrueDiv",
    "FloatTrueDiv", "CeilToInt", "FloorToInt", "TruncToInt", "TruncToFloat", "RoundToInt", "RoundDecimal", "ToFloat",
    "Identity", "BitwiseFn_bitwise_and", "BitwiseFn_bitwise_or", "sqrt", "log", "OpaqueUnaryFn_sqrt",
}  # fmt: skip
_TEXT_OF = {"Symbol": _SYMBOL, "Float": _NUMBER}
_LONGEST = 20_000
_LARGEST = 2**64
_LARGEST_POWER = 64


def is_symbol(text: str) -> bool:
    """Whether the text names a symbol: ``s0``, ``u12``. torch counts up to the number, which is therefore short."""
    return _SYMBOL.fullmatch(text) is not None


def is_arithmetic(text: str) -> bool:
    """Whether the text is an expression of the grammar above, and cheap to evaluate."""
    if len(text) > _LONGEST or not text.isascii() or not text.isprintable():
        return False
    try:
        return _allowed(ast.parse(text, mode="eval"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _allowed(tree: ast.Expression) -> bool:
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    texts = {id(argument) for node in ast.walk(tree) for argument in _texts(node)}
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            return False
        if isinstance(node, ast.Name):
            known = node.id in _FUNCTIONS if id(node) in called else is_symbol(node.id) or node.id in _VALUES
            if not known:
                return False
        elif isinstance(node, ast.Call):
            # A call of a call, and ``f(**{})``, have no name.
            if not isinstance(node.func, ast.Name) or any(k.arg is None or not k.arg.isalpha() for k in node.keywords):
                return False
        elif isinstance(node, ast.Constant) and id(node) not in texts and not _is_number(node.value):
            return False
    return all(_is_small_power(node) for node in ast.walk(tree) if _is_power(node))


def _texts(node: ast.AST) -> list[ast.expr]:
    """The texts that a function takes: the name of a Symbol, the digits of a Float."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _TEXT_OF and node.args):
        return []
    first, pattern = node.args[0], _TEXT_OF[node.func.id]
    known = isinstance(first, ast.Constant) and isinstance(first.value, str) and pattern.fullmatch(first.value)
    return [first] if known else []


def _is_number(value: object) -> bool:
    return isinstance(value, bool | float) or (isinstance(value, int) and abs(value) <= _LARGEST)


def _is_power(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _POWERS
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.LShift | ast.RShift)


def _is_small_power(node: ast.AST) -> bool:
    inside = list(ast.walk(node))[1:]
    base = (
        node.left if isinstance(node, ast.BinOp) else node.args[0] if isinstance(node, ast.Call) and node.args else node
    )
    in_base = {id(part) for part in ast.walk(base)}
    numbers = [part.value for part in inside if isinstance(part, ast.Constant) and id(part) not in in_base]
    small = all(not isinstance(n, int | float) or abs(n) <= _LARGEST_POWER for n in numbers)
    return small and not any(_is_power(part) for part in inside)
