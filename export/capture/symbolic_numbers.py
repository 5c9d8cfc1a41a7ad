"""A free size as the plain number of an operator: ``i % w``, ``x ** w``, ``torch.addmm(a, b, c, alpha=1 / w)``.

torch.onnx (2.13) reads such a number where it needs a Python one. The operator is replaced by its form that takes tensors, if it has
one, or by the formula that its number stands in:

    addmm(i, a, b, beta, alpha)   ->  beta i + alpha (a b)            also addmv, addr, addbmm, baddbmm
    addcmul(i, a, b, value)       ->  i + value (a b)                 addcdiv: i + value (a / b)
    softplus(x, beta, threshold)  ->  x                               for beta x > threshold
                                      log(1 + exp(beta x)) / beta     otherwise

Operators with numbers that are known stay as they are.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
_SYMBOLIC = (torch.SymInt, torch.SymFloat)


def without_symbolic_numbers(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program with tensors in place of symbolic numbers; the same program if there are none."""
    used = {node.target for node in program.graph.nodes if node.op == "call_function" and _symbolic(node)}
    table = {overload: replacement for overload in used if (replacement := _replacement(overload)) is not None}
    return program.run_decompositions(table) if table else program


def _symbolic(node: torch.fx.Node) -> bool:
    """Whether a plain number of the operator is symbolic, or a fraction meets integers; a shape may be symbolic."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    given = dict(zip((a.name for a in node.target._schema.arguments), node.args))  # noqa: B905  # defaults are left out
    given |= node.kwargs
    if any(isinstance(given.get(name), torch.fx.Node) for name in _numbers(node.target)):
        return True
    return _fraction_of_integers(
        [value.meta.get("val") for value in given.values() if isinstance(value, torch.fx.Node)]
    )


def _fraction_of_integers(values: Sequence[Any]) -> bool:
    """``(n - 2.5) * integers``: torch.onnx asks the number for its value when it chooses the type of the result."""
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    fraction = any(isinstance(value, torch.SymFloat) for value in values)
    return fraction and bool(tensors) and not any(tensor.is_floating_point() for tensor in tensors)


def _numbers(overload: Any) -> Iterator[str]:
    return (a.name for a in overload._schema.arguments if isinstance(a.type, torch.NumberType))


def _replacement(overload: Any) -> Callable[..., Any] | None:
    numbers = list(_numbers(overload))
    formula = _FORMULAS.get(overload) or _with_tensors(overload)
    if formula is None:
        return None

    def replace(*args: Any, **kwargs: Any) -> Any:
        leaves = tree_leaves((args, kwargs))
        if not any(isinstance(leaf, _SYMBOLIC) for leaf in leaves) or not (numbers or _fraction_of_integers(leaves)):
            return NotImplemented
        return formula(*args, **kwargs)

    return replace


def _with_tensors(overload: Any) -> Callable[..., Any] | None:
    """The overload of the same operator that has tensors where this one has numbers; itself if it has none."""
    wanted = [
        (a.name, "Tensor" if isinstance(a.type, torch.NumberType) else _kind(a)) for a in overload._schema.arguments
    ]
    for name in overload.overloadpacket.overloads():
        other = getattr(overload.overloadpacket, name)
        if [(a.name, _kind(a)) for a in other._schema.arguments] == wanted:
            return lambda *args, other=other, **kwargs: other(*_tensors(args), **_tensors(kwargs))
    return None


def _kind(argument: Any) -> str:
    return "Tensor" if isinstance(argument.type, torch.TensorType) else str(argument.type)


def _tensors(values: Any) -> Any:
    """Numbers as tensors of no axis, which decide the result's type as numbers do. A list of sizes stays."""
    return tree_map(_tensor, values, is_leaf=lambda value: isinstance(value, list))


def _tensor(value: Any) -> Any:
    if isinstance(value, bool | torch.Tensor) or not isinstance(value, int | float | torch.SymInt | torch.SymFloat):
        return value
    number: Any = value
    return torch.scalar_tensor(number, dtype=torch.int64 if isinstance(value, int | torch.SymInt) else torch.float32)


def _product(multiply: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def formula(added: Any, first: Any, second: Any, *, beta: Any = 1, alpha: Any = 1) -> torch.Tensor:
        result: torch.Tensor = added * beta + multiply(first, second) * alpha
        return result

    return formula


def _softplus(x: torch.Tensor, beta: Any = 1, threshold: Any = 20) -> torch.Tensor:
    scaled = x * beta
    return torch.where(scaled > threshold, x, torch.log1p(torch.exp(scaled.clamp(max=threshold))) / beta)


_FORMULAS: dict[Any, Callable[..., torch.Tensor]] = {
    aten.addmm.default: _product(torch.mm),
    aten.addmv.default: _product(torch.mv),
    aten.addr.default: _product(torch.outer),
    aten.addbmm.default: _product(lambda a, b: torch.bmm(a, b).sum(0)),
    aten.baddbmm.default: _product(torch.bmm),
    aten.addcmul.default: lambda x, a, b, *, value=1: x + a * b * value,
    aten.addcdiv.default: lambda x, a, b, *, value=1: x + a / b * value,
    aten.softplus.default: _softplus,
}
