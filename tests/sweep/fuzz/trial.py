"""One graph through the whole pipeline, and its outcome beside independent evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from attnexport.errors import AttnexportError
from attnexport.export.api.options import options_of
from attnexport.export.pipeline import ExportResult, run
from attnexport.export.source import Source
from attnexport.runtime.bundle.golden import GoldenCase, read_golden
from attnexport.runtime.check.check import check

from .blocks import session
from .sketch import Arrays

FAR = 1e-3
"""Relative to the root mean square of an output: no rounding of FP32 reaches so far in graphs as small as these."""
HALF_FAR = 0.3
LEAST_SCALE = 1e-3
"""Smaller outputs are differences of larger values, as of a gate and 1, and keep their rounding."""
STEPS = frozenset({"ArgMax", "ArgMin", "Cast", "CastLike", "Ceil", "Equal", "Floor", "Greater", "GreaterOrEqual", "Hardmax", "Less",
                   "LessOrEqual", "Mod", "NonZero", "QuantizeLinear", "Round", "Shrink", "Sign", "ThresholdedRelu", "TopK"})  # fmt: skip
"""Rounding to 16 bits changes what they give by a whole step."""
_ABSENT = "refuses the file, too"
_TRUE = ("has no translation to ONNX", "TensorRT's parser refuses", "returns NaN or Inf")
"""What the tool cannot mend."""


class Verdict(str, Enum):
    """What came of a graph. The first group is as it should be; each of the second is a finding.

    ``open``: the independent evaluations differ from each other, or a rounding decides (a value at a step of a function);
    such a graph judges nobody. ``refused``: of a file that ONNX Runtime refuses, too, for an operator without a translation
    to ONNX, by TensorRT's parser, or for values beyond FP64. ``kernel``: above the gate by the rounding of ONNX Runtime's
    kernel, which the message names. ``unstable``: in FP16 or BF16.
    """

    PASS = "pass"
    UNSTABLE = "unstable"
    KERNEL = "kernel"
    REFUSED = "refused"
    OPEN = "open"

    WRONG_TRUTH = "wrong golden.npz"
    WRONG_FILE = "a wrong file passes"
    WRONG_BUILT = "a wrong file is built, and fails"
    RIGHT_FAILS = "a right file fails"
    UNTRUE = "refused without a true reason"
    CRASH = "crash"


FINDINGS = (
    Verdict.WRONG_TRUTH, Verdict.WRONG_FILE, Verdict.WRONG_BUILT, Verdict.RIGHT_FAILS, Verdict.UNTRUE, Verdict.CRASH,
)  # fmt: skip


@dataclass(frozen=True)
class Oracle:
    """An evaluation that does not depend on attnexport. ``limit``: what it may differ from the FP64 values by."""

    name: str
    run: Callable[[Arrays], Sequence[np.ndarray]]
    limit: float


@dataclass(frozen=True)
class Subject:
    """A graph to export. ``target``: the file or the module. ``oracles``: in FP64 first, in FP32 last, by position of outputs.

    ``wide``: the first oracle, slower, with FP64 where it has FP32. It is asked when golden.npz differs from the first.
    """

    kind: str
    seed: int
    target: Any
    inputs: Mapping[str, Any]
    options: Mapping[str, Any]
    oracles: tuple[Oracle, ...]
    operators: tuple[str, ...]
    source: Callable[[Any], Source] | None = None
    wide: Callable[[Arrays], Sequence[np.ndarray]] | None = None


@dataclass(frozen=True)
class Outcome:
    """One line of the record."""

    kind: str
    seed: int
    verdict: str
    text: str = ""
    operators: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def examine(subject: Subject) -> Outcome:
    """Export the subject and judge what came of it. Nothing is raised."""
    began = time.process_time()
    with TemporaryDirectory() as folder:
        verdict, text = _examine(subject, Path(folder) / "bundle.attn")
    return Outcome(
        subject.kind, subject.seed, verdict.value, text[:400], subject.operators, dict(subject.options),
        round(time.process_time() - began, 3),
    )  # fmt: skip


def _examine(subject: Subject, path: Path) -> tuple[Verdict, str]:
    options = options_of(subject.target, subject.inputs, {**subject.options, "out": path, "keep_failed": True})
    try:
        source = subject.source(options.source) if subject.source is not None else None
        result = run(options, None, source)
    except AttnexportError as error:
        return _refusal(subject, error)
    except Exception as error:  # a fault of attnexport
        return Verdict.CRASH, f"{type(error).__name__}: {error}"
    try:
        return _judge(subject, result)
    except AttnexportError as error:
        return Verdict.WRONG_FILE, f"the bundle does not run: {error}"


def _refusal(subject: Subject, error: AttnexportError) -> tuple[Verdict, str]:
    """True if the last oracle, which runs the source as it is in FP32, cannot run it either."""
    text = f"{type(error).__name__}: {error}"
    if any(reason in text for reason in _TRUE):
        return Verdict.REFUSED, text
    try:
        subject.oracles[-1].run({name: np.asarray(value) for name, value in subject.inputs.items()})
    except Exception:
        return Verdict.REFUSED, f"{subject.oracles[-1].name} {_ABSENT}: {text}"
    return Verdict.UNTRUE, text


def _judge(subject: Subject, result: ExportResult) -> tuple[Verdict, str]:
    golden = read_golden(result.bundle / "golden.npz")
    files = {p.name: session(onnx.load(p)) for p in sorted(result.bundle.glob("model*.onnx")) if "bf16" not in p.name}
    names = [spec.name for spec in result.manifest.outputs]
    distances: dict[str, float] = {}
    for case in golden:
        known = _known(subject, case, names)
        if isinstance(known, str):
            return Verdict.OPEN, known
        for oracle, values in known.items():
            far = _farthest(values, [case.reference[n] for n in names])
            distances[oracle.name] = max(distances.get(oracle.name, 0.0), far)
        for file, opened in files.items():
            got = dict(
                zip([o.name for o in opened.get_outputs()], opened.run(None, _typed(opened, case.feeds)), strict=True)
            )
            measure = distance if file == "model.onnx" else apart
            far = _farthest(next(iter(known.values())), [got[n] for n in names], measure)
            distances[file] = max(distances.get(file, 0.0), far)
    return _verdict(subject, result, distances)


def _verdict(subject: Subject, result: ExportResult, distances: dict[str, float]) -> tuple[Verdict, str]:
    text = ", ".join(f"{name} {far:.2g}" for name, far in distances.items())
    fp64, fp32 = subject.oracles[0], subject.oracles[-1]
    if distances[fp64.name] > fp64.limit:
        decided = subject.wide is not None and _wide_distance(subject, result) <= fp64.limit
        return (Verdict.OPEN if decided else Verdict.WRONG_TRUTH), text
    if distances[fp32.name] > fp32.limit:  # FP32 is far from FP64 in this graph, for everybody
        return Verdict.OPEN, text
    if any(distances[oracle.name] > oracle.limit for oracle in subject.oracles):
        return Verdict.WRONG_TRUTH, text
    far = [n for n, d in distances.items() if n.endswith(".onnx") and d > (FAR if n == "model.onnx" else HALF_FAR)]
    if far and "model.onnx" not in far and STEPS & set(subject.operators):
        return Verdict.OPEN, text
    if not result.failures:
        if not far and subject.seed % 20 == 0 and not check(result.bundle).passed:
            return Verdict.RIGHT_FAILS, f"check fails what the export passes; {text}"
        return (Verdict.WRONG_FILE if far else Verdict.PASS), text
    failed = f"{'; '.join(result.failures)}; {text}"
    if all("ONNX Runtime's" in failure and "on the CPU" in failure for failure in result.failures):
        return Verdict.KERNEL, failed
    half = not any("fp32" in failure.lower() for failure in result.failures)
    if half:
        return Verdict.UNSTABLE, failed
    return (Verdict.WRONG_BUILT if "model.onnx" in far else Verdict.RIGHT_FAILS), failed


def _wide_distance(subject: Subject, result: ExportResult) -> float:
    """Of golden.npz from the first oracle with FP64 all the way; what FP32 decided in it is not a fault then."""
    assert subject.wide is not None
    names = [spec.name for spec in result.manifest.outputs]
    golden = read_golden(result.bundle / "golden.npz")
    return max(_farthest(subject.wide(dict(c.feeds)), [c.reference[n] for n in names]) for c in golden)


def _known(subject: Subject, case: GoldenCase, names: Sequence[str]) -> dict[Oracle, list[np.ndarray]] | str:
    """Each oracle's values; or, as text, that the last two differ from each other."""
    known: dict[Oracle, list[np.ndarray]] = {}
    for oracle in subject.oracles:
        try:
            known[oracle] = list(oracle.run(dict(case.feeds)))
        except Exception as error:  # such as a size that the graph does not run at, in any runtime
            return f"{oracle.name} does not run {case.name}: {' '.join(str(error).split())[:150]}"
    first, last = subject.oracles[0], subject.oracles[-1]
    far = _farthest(known[first], known[last])
    if far > last.limit:
        return f"{first.name} and {last.name} differ by {far:.2g} on {case.name}"
    return known


def _typed(opened: Any, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    half = {i.name: i.type for i in opened.get_inputs()}
    return {n: a.astype(np.float16) if half[n] == "tensor(float16)" else a for n, a in feeds.items()}


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """The rms of the differences, relative to the rms: in 16 bits, single values fall on the other side of a step."""
    if a.shape != b.shape or a.dtype.kind != "f" or not a.size or not np.isfinite(a).all() or not np.isfinite(b).all():
        return distance(a, b)
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.sqrt(np.mean(np.square(a - b))) / max(np.sqrt(np.mean(np.square(a))), 1e-6))


_Measure = Callable[[np.ndarray, np.ndarray], float]


def _farthest(first: Sequence[np.ndarray], second: Sequence[np.ndarray], measure: _Measure | None = None) -> float:
    measure = measure or distance
    return max((measure(a, b) for a, b in zip(first, second, strict=True)), default=0.0)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, relative to the rms; the share that differs of integers; infinite for other shapes or kinds."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or (a.dtype.kind == "f") != (b.dtype.kind == "f"):
        return np.inf
    if not a.size:
        return 0.0
    if a.dtype.kind != "f":
        return float(np.mean(a != b))
    a, b = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(np.where(finite, 0, a), np.where(np.isfinite(b), 0, b), equal_nan=True):
        return np.inf
    a, b = a[finite], b[finite]
    scale = float(np.sqrt(np.mean(np.square(a)))) if a.size else 1.0
    return float(np.abs(a - b).max(initial=0)) / max(scale, LEAST_SCALE)
