"""One thing to measure: a model of one operator, inputs for it, what it should give, from PyTorch in FP64, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper

from ..targets.matrix import Fact, Status

Array = npt.NDArray[Any]
Expect = Callable[..., torch.Tensor]
DTYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
TOLERANCE = {"float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}
"""Largest error over the largest value that counts as rounding."""
NODE = "probed"
BORDER = "float32"  # bfloat16 crosses no session's border


@dataclass(frozen=True)
class ProbeCase:
    """``model`` has one node of interest, called NODE; ``feeds`` fit it; ``expected`` is its output in FP64."""

    op: str
    opset: int
    facts: Mapping[str, Fact]
    model: onnx.ModelProto = field(repr=False)
    feeds: Mapping[str, Array] = field(repr=False)
    expected: Array = field(repr=False)

    @property
    def name(self) -> str:
        """``GridSample rank=4 dtype=float16``."""
        return " ".join([self.op, *(f"{name}={value}" for name, value in self.facts.items())])

    @property
    def tolerance(self) -> float:
        """What rounding may do at this type."""
        return TOLERANCE[str(self.facts["dtype"])]


def normal(*shape: int, seed: int = 0) -> Array:
    """Seeded FP32 values."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def one_operator(
    op: str, inputs: Mapping[str, Array], expect: Expect, *, dtype: str = "float32", opset: int = 18,
    constants: Sequence[str] = (), facts: Mapping[str, Fact] | None = None, **attributes: Any,
) -> ProbeCase:  # fmt: skip
    """Return a case of one node ``op``.

    FP32 arrays among ``inputs`` take ``dtype`` (or the one that the fact ``<name>_dtype`` states) and are rounded to it
    before ``expect`` gets them as FP64 tensors; others stay. ``constants`` become initializers. With the fact ``free``,
    batch and space axes of ``x`` are symbols.
    """
    facts = facts or {}
    kinds = {
        name: str(facts.get(f"{name}_dtype", dtype)) for name, value in inputs.items() if value.dtype == np.float32
    }
    free = {"x": (0, 2, 3)} if facts.get("free") else {}
    rounded = {name: _rounded(value, kinds[name]) if name in kinds else value for name, value in inputs.items()}
    node = helper.make_node(op, list(inputs), ["y"], name=NODE, **attributes)
    feeds = dict(_fed(name, value, kinds.get(name)) for name, value in rounded.items() if name not in constants)
    wide = [torch.from_numpy(value.astype(np.float64) if value.dtype.kind == "f" else value) for value in rounded.values()]  # fmt: skip
    with torch.no_grad():
        expected = expect(*wide).numpy()
    model = model_of(
        [node], rounded, kinds, rank=expected.ndim, opset=opset, constants=constants, free=free, dtype=dtype
    )
    return ProbeCase(op, opset, {"dtype": dtype, **facts}, model, feeds, expected)


def model_of(
    nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, Array], kinds: Mapping[str, str], *, rank: int, opset: int,
    dtype: str, constants: Sequence[str] = (), free: Mapping[str, Sequence[int]] | None = None,
) -> onnx.ModelProto:  # fmt: skip
    """Nodes from ``inputs`` to ``y`` (of ``rank`` axes) as a model; what is bfloat16 is cast from and to FP32 inside it."""
    before, declared, stored = [], [], []
    for name, value in inputs.items():
        kind = kinds.get(name)
        if name in constants:
            stored.append(_initializer(name, value, kind))
            continue
        cast = kind == "bfloat16"
        axes = (free or {}).get(name, ())
        dims = [f"{name}{axis}" if axis in axes else size for axis, size in enumerate(value.shape)]
        border = DTYPES[BORDER if cast else kind] if kind else helper.np_dtype_to_tensor_dtype(value.dtype)
        declared.append(helper.make_tensor_value_info(f"{name}_fp32" if cast else name, border, dims))
        if cast:
            before.append(helper.make_node("Cast", [f"{name}_fp32"], [name], to=DTYPES["bfloat16"]))
    after, output = [], "y"
    if dtype == "bfloat16":
        after, output = [helper.make_node("Cast", ["y"], ["y_fp32"], to=TensorProto.FLOAT)], "y_fp32"
    made = DTYPES[BORDER if dtype == "bfloat16" else dtype]
    result = helper.make_tensor_value_info(output, made, [f"y{axis}" for axis in range(rank)])
    graph = helper.make_graph([*before, *nodes, *after], "probe", declared, [result], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def _rounded(value: Array, kind: str) -> Array:
    """FP32 values that ``kind`` holds exactly."""
    rounded: Array = torch.from_numpy(value).to(getattr(torch, kind)).float().numpy()
    return rounded


def _fed(name: str, value: Array, kind: str | None) -> tuple[str, Array]:
    """What the session is given for an input."""
    if kind == "bfloat16":
        return f"{name}_fp32", value
    return name, value.astype(np.float16) if kind == "float16" else value


def _initializer(name: str, value: Array, kind: str | None) -> onnx.TensorProto:
    if kind is None:
        return onnx.numpy_helper.from_array(value, name)
    return helper.make_tensor(name, DTYPES[kind], value.shape, value.reshape(-1).tolist())


@dataclass(frozen=True)
class Outcome:
    """``how`` it was measured, its verdict, and the error where something ran."""

    status: Status
    how: str
    reason: str = ""
    error: float | None = None


def judge(case: ProbeCase, y: Array, how: str) -> Outcome:
    """The outcome of a run: wrong where shape or values are not those of the FP64 reference, within rounding."""
    if y.shape != case.expected.shape:
        return Outcome("wrong", how, f"the output is {y.shape}, not {case.expected.shape}")
    difference = np.abs(y.astype(np.float64) - case.expected)
    error = float(difference.max(initial=0.0) / max(np.abs(case.expected).max(initial=0.0), 1e-30))
    if not np.isfinite(error):
        return Outcome("wrong", how, "the output is not finite")
    error = float(f"{error:.2g}")
    if error > case.tolerance:
        return Outcome("wrong", how, f"error {error:.2g} of the largest value", error)
    return Outcome("ok", how, error=error)


def shortened(text: str) -> str:
    """A reason that is short enough for a table."""
    return text if len(text) <= 200 else f"{text[:197]}..."
