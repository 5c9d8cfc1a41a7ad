"""``--tune``: the forms of each operator, timed on the backend that the model is for, instead of estimated.

Each node that has more than one right form becomes a model of its own for each of them, with the node's constants and
with every free axis at its optimum; all forms run in turn, round by round, and the median decides. What was measured
is kept by the model's content, ONNX Runtime's version and the processor, so that the next export does not measure it
again.
"""

import hashlib
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import helper

from ...errors import InputError
from ...runtime.sessions.ort import OrtSession
from ...runtime.spec import TensorSpec
from ...runtime.user_cache import cache_folder, read_cache, write_cache
from ..domain import DOMAIN, VERSION, register_schemas
from ..progress import Reporter
from ..simplify.settle_shapes import settle_shapes
from ..targets import target_of, timeable_targets
from . import Lowering, Where, lower

ROUNDS = 9
WARM_UP = 2


def opt_shapes(model: onnx.ModelProto, inputs: Sequence[TensorSpec]) -> dict[str, tuple[int, ...]]:
    """The shape of every value with the inputs at their optimum, where shape inference can tell."""
    register_schemas()
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for value, spec in zip(fixed.graph.input, inputs, strict=True):
        for dim, axis in zip(value.type.tensor_type.shape.dim, spec.axes, strict=True):
            dim.dim_value = axis.opt
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = settle_shapes(fixed).model.graph  # inference alone stops at a Reshape to computed sizes
    shapes = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = tuple(int(dim.dim_value) for dim in dims)
    return shapes


class Tuner:
    """Times the forms of nodes of one model; hand ``times`` to ``lower(..., measure=)``.

    ``shapes``: of values by name, see ``opt_shapes``. Raises InputError for a target that cannot be timed here.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], prefer: str, reporter: Reporter, cache: Path | None = None
    ) -> None:
        if prefer not in timeable_targets():
            raise InputError(
                f"--tune cannot time lowerings for {prefer}",
                f"it times for {' and '.join(timeable_targets())}; leave it out here",
            )
        self._shapes = shapes
        self._providers = target_of(prefer).providers
        self._reporter = reporter
        self._cache = cache or cache_folder("tune.json")
        self._known: dict[str, dict[str, float]] = read_cache(self._cache)

    def times(self, node: Any, forms: Sequence[Lowering], where: Where) -> dict[str, float] | None:
        """Milliseconds of each form at the optimum, by name; None where a shape is not known."""
        model = self._alone(node, where.opset)
        if model is None:
            return None
        key = self._key(model, forms)
        if key not in self._known:
            self._reporter.note(f"timing {len(forms)} forms of {node.op} {node.name}")
            self._known[key] = self._measured(model, forms, where)
            write_cache(self._cache, self._known)
        return dict(self._known[key])

    def _alone(self, node: Any, opset: int) -> onnx.ModelProto | None:
        """A model of this one node: constants stay, other inputs become the model's with their optimum shapes."""
        inputs: list[Any] = []
        values = []
        for position, value in enumerate(node.inputs):
            if value.is_empty():
                values.append(gs.Variable.empty())
            elif isinstance(value, gs.Constant):
                values.append(gs.Constant(f"constant{position}", value.values))
            elif value.name in self._shapes and value.dtype is not None:
                inputs.append(gs.Variable(f"x{position}", value.dtype, list(self._shapes[value.name])))
                values.append(inputs[-1])
            else:
                return None
        shape = self._shapes.get(node.outputs[0].name)
        if shape is None:
            return None
        output = gs.Variable("y", inputs[0].dtype, list(shape))
        alone = gs.Node(node.op, "node", dict(node.attrs), values, [output], domain=DOMAIN)
        imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)]
        graph = gs.Graph([alone], inputs, [output], opset=opset, name="node", import_domains=imports)
        oldest = helper.find_min_ir_version_for(imports, ignore_unknown=True)
        model: onnx.ModelProto = gs.export_onnx(graph, opset_imports=imports, ir_version=oldest)
        return model

    def _key(self, model: onnx.ModelProto, forms: Sequence[Lowering]) -> str:
        parts = [_processor(), *self._providers, _ort_version(), *(form.name for form in forms)]
        digest = hashlib.sha256(model.SerializeToString(deterministic=True))
        digest.update("|".join(parts).encode())
        return digest.hexdigest()

    def _measured(self, model: onnx.ModelProto, forms: Sequence[Lowering], where: Where) -> dict[str, float]:
        rng = np.random.default_rng(0)
        feeds = {
            value.name: rng.standard_normal([dim.dim_value for dim in value.type.tensor_type.shape.dim]).astype(
                helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            )
            for value in model.graph.input
        }
        sessions = {}
        for form in forms:
            alone = lower(model, where.targets, [form], prefer=where.prefer).model
            sessions[form.name] = OrtSession(alone.SerializeToString(), spin=False, providers=self._providers)
        seconds: dict[str, list[float]] = {name: [] for name in sessions}
        for round_ in range(WARM_UP + ROUNDS):
            for name, session in sessions.items():
                start = time.perf_counter()
                session.run(feeds)
                if round_ >= WARM_UP:
                    seconds[name].append(time.perf_counter() - start)
        for session in sessions.values():
            session.close()
        return {name: 1e3 * statistics.median(taken) for name, taken in seconds.items()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        model = platform.processor()
    return f"{model} x{os.cpu_count()}"


def _ort_version() -> str:
    for package in ("onnxruntime-gpu", "onnxruntime"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""
