"""One case of the sweep: an operator at an opset with its attributes and inputs, as a model of one node and the arrays it reads."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper

from attnexport.benchmarks.reference_sweep.draws import Draw
from attnexport.benchmarks.reference_sweep.trial import Arrays, Key, Trial, array_text, attribute_text, dtype_text

FIRST, LAST = 7, 23
"""The opsets that attnexport reads."""

IR = 10
"""What the models of the sweep are written as; ONNX Runtime takes no newer one than 13."""

Input = Draw | np.ndarray | None


@dataclass(frozen=True, eq=False)
class Case:
    """A call of ``operator``. ``inputs`` are drawn or written arrays; None leaves an optional input out.

    ``constants``: positions of the inputs that are initializers, as in most files; the others are inputs of the graph.
    ``outputs``: names; "" leaves an optional output out. ``body``: what the attributes that are graphs, or ``nodes``, are called.
    ``nodes``: the whole graph where one node does not do, from x0, x1 … to the outputs.
    """

    operator: str
    opset: int
    inputs: tuple[Input, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("y0",)
    constants: tuple[int, ...] = ()
    body: str = ""
    nodes: tuple[onnx.NodeProto, ...] = ()

    @property
    def key(self) -> Key:
        """Its name in the file of verdicts."""
        return Key(self.operator, self.opset, self.attributes_text, self.inputs_text, "")

    def trial(self) -> Trial:
        """The case as it is judged."""
        return Trial(self.key, self.model(), self.feeds)

    @cached_property
    def attributes_text(self) -> str:
        """As ``axis=-1 keepdims=0``."""
        attributes = sorted(self.attributes.items())
        texts = [
            f"{name}={attribute_text(value)}" for name, value in attributes if not isinstance(value, onnx.GraphProto)
        ]
        return " ".join([self.body, *texts] if self.body else texts)

    @cached_property
    def inputs_text(self) -> str:
        """As ``f32[2,3] i64{0,1} -``: drawn arrays by shape, short written ones by value, constants with an asterisk."""
        texts = [_input_text(value) + ("*" if i in self.constants else "") for i, value in enumerate(self.inputs)]
        skipped = "" if all(self.outputs) else " > " + " ".join(name or "-" for name in self.outputs)
        count = f" > {len(self.outputs)}" if len(self.outputs) > 1 and not skipped else skipped
        return " ".join(texts) + count

    @cached_property
    def arrays(self) -> tuple[np.ndarray | None, ...]:
        """The inputs' values; the same in every run."""
        rng = np.random.default_rng(zlib.crc32(f"{self.operator} {self.attributes_text} {self.inputs_text}".encode()))
        return tuple(value.array(rng) if isinstance(value, Draw) else value for value in self.inputs)

    @property
    def feeds(self) -> Arrays:
        """The values of the graph's inputs."""
        return {f"x{i}": a for i, a in enumerate(self.arrays) if a is not None and i not in self.constants}

    def model(self) -> onnx.ModelProto:
        """The graph of one node; the types of its outputs are those that onnx infers."""
        arrays = self.arrays
        names = ["" if a is None else f"x{i}" for i, a in enumerate(arrays)]
        node = helper.make_node(self.operator, names, list(self.outputs), name="node", **self.attributes)
        values = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for name, a in zip(names, arrays, strict=True)
            if a is not None and int(name[1:]) not in self.constants
        ]
        constants = [numpy_helper.from_array(np.asarray(arrays[i]), f"x{i}") for i in self.constants]
        results = [onnx.ValueInfoProto(name=name) for name in self.outputs if name]
        return typed(helper.make_graph(self.nodes or [node], "case", values, results, constants), self.opset)


def typed(graph: onnx.GraphProto, opset: int) -> onnx.ModelProto:
    """A model of ``graph`` whose outputs have the types that onnx infers; without a type where it infers none."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR)
    inferred = onnx.shape_inference.infer_shapes(model)
    del model.graph.output[:]
    model.graph.output.extend(inferred.graph.output)
    return model


def across(
    operator: str,
    inputs: Sequence[Input],
    attributes: Mapping[str, Any] | None = None,
    opsets: tuple[int, int] = (FIRST, LAST),
    **other: Any,
) -> Iterator[Case]:
    """The same call at each version of the operator within ``opsets`` that has these attributes and so many inputs."""
    case = Case(operator, LAST, tuple(inputs), attributes or {}, **other)
    for version in versions(operator, *opsets):
        schema = defs.get_schema(operator, version)
        if case.nodes or (
            set(case.attributes) <= set(schema.attributes) and schema.min_input <= len(inputs) <= schema.max_input
        ):
            yield Case(operator, version, case.inputs, case.attributes, **other)


def newest(
    operator: str, inputs: Sequence[Input], attributes: Mapping[str, Any] | None = None, **other: Any
) -> Iterator[Case]:
    """The call at the newest version of the operator."""
    version = versions(operator)[-1]
    return across(operator, inputs, attributes, (version, version), **other)


def versions(operator: str, low: int = FIRST, high: int = LAST) -> tuple[int, ...]:
    """``low`` and the opsets up to ``high`` in which the operator changed, without those in which it is deprecated."""
    changes = {schema.since_version for schema in _history()[operator]}
    opsets = ([low] if min(changes) <= low else []) + sorted(v for v in changes if low < v <= high)
    return tuple(v for v in opsets if not defs.get_schema(operator, v).deprecated)


@cache
def _history() -> dict[str, list[Any]]:
    schemas: dict[str, list[Any]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            schemas.setdefault(schema.name, []).append(schema)
    return schemas


def _input_text(value: Input) -> str:
    if value is None:
        return "-"
    if not isinstance(value, Draw):
        return array_text(value)
    text = f"{dtype_text(np.dtype(value.dtype))}[{','.join(map(str, value.shape))}]"
    return text if value.kind == "normal" else f"{text}~{value.kind}"
