"""Complex numbers as two real tensors: rotary embeddings written with ``view_as_complex``, spectra of Fourier layers.

ONNX Runtime computes nothing on complex tensors, TensorRT has no such type. Each complex value of a traced program becomes its real
and its imaginary part, in the program itself, so that every later stage sees real numbers alone:

    (a + ib)(c + id)  ->  ac - bd,  ad + bc          view_as_complex(x)  ->  x[..., 0], x[..., 1]
    polar(r, t)       ->  r cos t,  r sin t          abs(a + ib)         ->  sqrt(a^2 + b^2)

What moves values and computes nothing is done to both parts. Discrete Fourier transforms are in :mod:`.fourier`.
"""

import operator
from typing import Any

import torch
from torch._dispatch.python import enable_python_dispatcher
from torch.export.graph_signature import InputKind
from torch.fx import Node
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

from ....errors import UnsupportedModelError
from ..cleanup.naming import describe_node
from .emit import ComplexEmitter, ComplexParts, ComplexRule, aten
from .fourier import RULES as FOURIER


def without_complex(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program with real tensors alone; itself where it has no others.

    Raises UnsupportedModelError for an operator on complex numbers that has no rule, and for complex outputs, naming module and line.
    """
    if not any(_is_complex(node) for node in program.graph.nodes):
        return program
    table = {op: how for op, how in torch.export.default_decompositions().items() if "fft" in str(op)}
    program = program.run_decompositions(table)
    _Rewrite(program, {**RULES, **FOURIER}).run()
    return program


def _is_complex(node: Node) -> bool:
    value = node.meta.get("val")
    values = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(v, torch.Tensor) and v.is_complex() for v in values)


class _Rewrite:
    def __init__(self, program: torch.export.ExportedProgram, rules: dict[Any, ComplexRule]) -> None:
        self._program = program
        self._rules = rules
        self._parts: dict[Node, ComplexParts] = {}
        self._emit = ComplexEmitter(program.graph, self._parts)

    def run(self) -> None:
        graph = self._program.graph
        replaced: list[Node] = []
        for node in list(graph.nodes):
            if not _is_complex(node) and not any(source in self._parts for source in node.all_input_nodes):
                continue
            self._emit.replaced = node
            if node.op == "placeholder":
                with graph.inserting_after([node for node in graph.nodes if node.op == "placeholder"][-1]):
                    self._store(node)
                continue
            if node.op == "output":
                raise UnsupportedModelError("an output of the model is complex", "return torch.view_as_real of it")
            with graph.inserting_before(node):
                self._replace(node)
            replaced.append(node)
        for node in reversed(replaced):
            graph.erase_node(node)
        module = self._program.graph_module
        module.recompile()
        values = [node.meta["val"] for node in graph.nodes if node.op == "placeholder"]
        mode = next(v.fake_mode for v in values if isinstance(v, torch._subclasses.FakeTensor))
        # C++ kernels of composites (upsample_bilinear2d.vec) would fix each free size at the example's.
        with enable_python_dispatcher():
            FakeTensorProp(module, mode).propagate_dont_convert_inputs(*values)

    def _replace(self, node: Node) -> None:
        rule = self._rules.get(node.target)
        if rule is None:
            name = getattr(getattr(node.target, "_schema", None), "name", str(node.target)).replace("::", ".")
            raise UnsupportedModelError(
                f"operator {name} on complex numbers has no real form, in {describe_node(node)}",
                "compute that step on the real and the imaginary part",
            )
        result = rule(self._emit, node, *node.args, **node.kwargs)
        if isinstance(result, tuple):
            real, imaginary = result
            real = self._emit(aten.zeros_like.default, imaginary) if real is None else real
            self._parts[node] = (real, imaginary)
        else:
            node.replace_all_uses_with(result, propagate_meta=False)

    def _store(self, node: Node) -> None:
        """A complex buffer is kept as a real tensor with a last axis of 2."""
        program = self._program
        spec = next(s for s in program.graph_signature.input_specs if s.arg.name == node.name)
        if spec.kind is InputKind.USER_INPUT or spec.target is None:
            raise UnsupportedModelError(
                f"input {node.name!r} is complex", "take it as real numbers and use torch.view_as_complex"
            )
        stored = program.state_dict if spec.target in program.state_dict else program.constants
        if stored[spec.target].is_complex():
            stored[spec.target] = torch.view_as_real(stored[spec.target].resolve_conj()).contiguous()
            mode = node.meta["val"].fake_mode
            node.meta["val"] = mode.from_tensor(stored[spec.target], static_shapes=True)
        halves = [self._emit(aten.select.int, node, -1, half) for half in (1, 0)]
        self._parts[node] = (halves[1], halves[0])


def _both(emit: ComplexEmitter, node: Node, *args: Any, **kwargs: Any) -> Any:
    """The same done to the real and to the imaginary part; complex operands may stand in lists."""

    def part(value: Any, half: int) -> Any:
        if isinstance(value, list | tuple):
            return [part(v, half) for v in value]
        if not emit.holds(value):
            return value
        found = emit.parts(value)[half]
        return emit(aten.zeros_like.default, emit.parts(value)[0]) if found is None else found

    if emit.holds(args[0]) and emit.parts(args[0])[1] is None:
        return emit(node.target, part(args[0], 0), *args[1:], **kwargs), None
    halves = [emit(node.target, *(part(a, half) for a in args), **kwargs) for half in (0, 1)]
    return halves[0], halves[1]


def _scalar_type(emit: ComplexEmitter, node: Node, x: Any, *args: Any, **kwargs: Any) -> Any:
    """A cast from or to complex."""
    dtype = node.meta["val"].dtype
    plain = dtype.to_real() if dtype.is_complex else dtype
    halves = [None if half is None else emit(aten._to_copy.default, half, dtype=plain) for half in emit.parts(x)]
    return (halves[0], halves[1]) if dtype.is_complex else halves[0]


def _getitem(emit: ComplexEmitter, node: Node, source: Node, index: int) -> Any:
    """One of the parts of a split."""
    real, imaginary = emit.parts(source)
    return emit(node.target, real, index), None if imaginary is None else emit(node.target, imaginary, index)


def _divide(emit: ComplexEmitter, node: Node, z: Any, w: Any) -> ComplexParts:
    (a, b), (c, d) = emit.parts(z), emit.parts(w)
    above, below = ((a, b), c) if d is None else (emit.times((a, b), (c, emit.neg(d))), emit.squared((c, d)))
    return tuple(None if half is None else emit(aten.div.Tensor, half, below) for half in above)  # type: ignore[return-value]


def _polar(emit: ComplexEmitter, node: Node, length: Any, angle: Any) -> ComplexParts:
    return emit.mul(length, emit(aten.cos.default, angle)), emit.mul(length, emit(aten.sin.default, angle))


def _exp(emit: ComplexEmitter, node: Node, z: Any) -> ComplexParts:
    real, imaginary = emit.parts(z)
    turn = (emit(aten.cos.default, imaginary), emit(aten.sin.default, imaginary))
    return turn if real is None else emit.times((emit(aten.exp.default, real), None), turn)


def _sum(emit: ComplexEmitter, node: Node, z: Any, w: Any, *, alpha: float = 1, sign: int = 1) -> ComplexParts:
    (a, b), (c, d) = emit.parts(z), emit.parts(w)
    factor = sign * alpha
    if factor != 1:
        c, d = emit.mul(c, factor), emit.mul(d, factor)
    return emit.add(a, c), emit.add(b, d)


def _full_imaginary(emit: ComplexEmitter, z: Any) -> Any:
    real, imaginary = emit.parts(z)
    return emit(aten.zeros_like.default, real) if imaginary is None else imaginary


_MOVES = (
    aten.unsqueeze.default, aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.view.default, aten.reshape.default,
    aten._unsafe_view.default, aten.expand.default, aten.permute.default, aten.transpose.int, aten.slice.Tensor, aten.select.int,
    aten.index.Tensor, aten.index_select.default, aten.cat.default, aten.stack.default, aten.clone.default, aten.alias.default,
    aten.detach.default, aten.contiguous.default, aten.repeat.default, aten.roll.default, aten.flip.default, aten.flatten.using_ints,
    aten.unflatten.int, aten.sum.dim_IntList, aten.sum.default, aten.mean.dim, aten.mean.default, aten.neg.default,
    aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default, aten.unbind.int, aten.gather.default, aten.where.self,
    aten.constant_pad_nd.default, aten.pad.default, aten.movedim.int, aten.repeat_interleave.self_int, aten.t.default,
    aten.expand_as.default, aten.view_as.default, aten.select_scatter.default, aten.slice_scatter.default,
)  # fmt: skip

_CONJUGATES = (aten._conj.default, aten.conj.default, aten._conj_physical.default, aten.conj_physical.default)

RULES: dict[Any, ComplexRule] = {
    **dict.fromkeys(_MOVES, _both),
    operator.getitem: _getitem,
    aten.view_as_complex.default: lambda e, n, x: (e(aten.select.int, x, -1, 0), e(aten.select.int, x, -1, 1)),
    aten.view_as_real.default: lambda e, n, z: e(aten.stack.default, [e.parts(z)[0], _full_imaginary(e, z)], -1),
    aten.complex.default: lambda e, n, a, b: (a, b),
    aten.polar.default: _polar,
    aten.real.default: lambda e, n, z: e.parts(z)[0],
    aten.imag.default: lambda e, n, z: _full_imaginary(e, z),
    **dict.fromkeys(_CONJUGATES, lambda e, n, z: (e.parts(z)[0], e.neg(e.parts(z)[1]))),
    aten.resolve_conj.default: lambda e, n, z: e.parts(z),
    aten.abs.default: lambda e, n, z: e(aten.sqrt.default, e.squared(e.parts(z))),
    aten.angle.default: lambda e, n, z: e(aten.atan2.default, _full_imaginary(e, z), e.parts(z)[0]),
    aten.exp.default: _exp,
    **dict.fromkeys((aten.mul.Tensor, aten.mul.Scalar), lambda e, n, z, w: e.times(e.parts(z), e.parts(w))),
    aten.matmul.default: lambda e, n, z, w: e.times(e.parts(z), e.parts(w), aten.matmul.default),
    aten.bmm.default: lambda e, n, z, w: e.times(e.parts(z), e.parts(w), aten.bmm.default),
    aten.mm.default: lambda e, n, z, w: e.times(e.parts(z), e.parts(w), aten.mm.default),
    **dict.fromkeys((aten.div.Tensor, aten.div.Scalar), _divide),
    aten.add.Tensor: _sum,
    aten.sub.Tensor: lambda e, n, z, w, alpha=1: _sum(e, n, z, w, alpha=alpha, sign=-1),
    **dict.fromkeys((aten.to.dtype, aten._to_copy.default, aten.type_as.default), _scalar_type),
}  # fmt: skip
