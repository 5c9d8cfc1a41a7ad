"""A case on a backend: ONNX Runtime runs it as written, TensorRT builds it as the engine stage does and runs it if a GPU is here.

An ONNX Runtime provider that does not have an operator leaves it to the CPU without a word (GridSample on CUDA, onnxruntime#20191),
and the CPU provider computes many FP16 operators in FP32 between casts; the profile of the run tells both.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import AttnexportError, MissingBackendError
from ...runtime.sessions.providers import CUDA
from ...runtime.sessions.tensorrt import TensorRTSession
from ...runtime.spec import Axis, TensorSpec
from ..engine import EngineOptions, Flavour, build_engine
from ..progress import Silent
from ..targets.matrix import Status
from .case import Outcome, ProbeCase, judge, shortened

_OPTIONS = {CUDA: {"use_tf32": "0"}}
_AROUND = frozenset({"Cast", "Constant", "MemcpyFromHost", "MemcpyToHost"})


class OrtProbe:
    """Measures on one execution provider of ONNX Runtime."""

    def __init__(self, provider: str) -> None:
        import onnxruntime

        self._ort: Any = onnxruntime
        self._provider = provider
        self.library = f"onnxruntime {onnxruntime.__version__}"

    def measure(self, case: ProbeCase) -> Outcome:
        """Run one case. Never raises for what the backend does."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                session = self._session(case, Path(folder) / "run")
                (y, *_) = session.run(None, dict(case.feeds))
            except Exception as error:  # ORT's exceptions have no base of their own
                return Outcome("fails", "ran", reason_of(error))
            profile = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        outcome = judge(case, y, "ran")
        placement = self._placement(case, profile) if outcome.status == "ok" else None
        return outcome if placement is None else Outcome(placement[0], "ran", placement[1], outcome.error)

    def _session(self, case: ProbeCase, prefix: Path) -> Any:
        options = self._ort.SessionOptions()
        options.graph_optimization_level = self._ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(prefix)
        providers = [(self._provider, _OPTIONS.get(self._provider, {}))]
        return self._ort.InferenceSession(case.model.SerializeToString(), options, providers=providers)

    def _placement(self, case: ProbeCase, profile: list[dict[str, Any]]) -> tuple[Status, str] | None:
        nodes = [entry["args"] for entry in profile if entry.get("cat") == "Node" and "provider" in entry["args"]]
        own = [node for node in nodes if node["op_name"] == case.op]
        own = own or [node for node in nodes if node["op_name"] not in _AROUND]
        elsewhere = [node for node in own if node["provider"] != self._provider]
        if elsewhere:
            return "slow", f"runs on {elsewhere[0]['provider'].removesuffix('ExecutionProvider')}, not on the device"
        taken = {kind for node in own for entry in node.get("input_type_shape", ()) for kind in entry}
        if case.facts["dtype"] != "float32" and taken and not taken & {"float16", "bfloat16"}:
            return "ok", "computed in FP32 between casts"
        return None


def reason_of(error: Exception) -> str:
    """A backend's message on one line, without its own numbering, short enough for a table."""
    text = AttnexportError(str(error)).problem
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    return shortened(text)


BUILT = "built, not run"


class TensorRTProbe:
    """Measures on one TensorRT that is installed."""

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self.library = flavour.title

    def measure(self, case: ProbeCase) -> Outcome:
        """Build one case, and run it where that can be. Never raises for what the backend does."""
        try:
            with _stderr_closed():
                plan = build_engine(case.model, _specs(case), self._flavour, EngineOptions(), {}, Silent()).plan
        except AttnexportError as error:
            text = error.problem.removeprefix("engine: ").removeprefix("TensorRT failed to build: ")
            status: Status = "wrong" if "TensorRT parses it as" in text else "fails"
            return Outcome(status, BUILT, shortened(text))
        try:
            session = TensorRTSession(plan, self._flavour.name)
        except MissingBackendError:
            return Outcome("ok", BUILT)
        try:
            (y, *_) = session.run(case.feeds).values()
        except AttnexportError as error:
            return Outcome("fails", "ran", error.problem[:200])
        finally:
            session.close()
        return judge(case, y, "ran")


def _specs(case: ProbeCase) -> list[TensorSpec]:
    """The model's inputs; a free axis may be two longer than it is fed."""
    specs = []
    for value in case.model.graph.input:
        fed = case.feeds[value.name]
        dims = value.type.tensor_type.shape.dim
        axes = [
            Axis(size, size, size + 2, dim.dim_param) if dim.dim_param else Axis.fixed(size)
            for size, dim in zip(fed.shape, dims, strict=True)
        ]
        specs.append(TensorSpec(value.name, fed.dtype.name, tuple(axes)))
    return specs


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """TensorRT's compiler writes its complaints to the process' standard error, beside giving them as messages."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
