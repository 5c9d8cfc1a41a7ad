"""Golden inputs answered correctly through the wire: without that no server is ready.

A model is held to the gate that its bundle's own export passed, over HTTP with every golden case and over gRPC with the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ParityError
from ..bundle import Bundle
from ..compare import ErrorMeter, check_outputs
from ..figures import Gate, ParityRecord
from ..golden import GoldenCase
from ..spec import TensorSpec
from ..triton.border import TYPES
from ..triton.config import parse
from ..triton.options import WrittenModel
from .wire import Wire

_DTYPES = {word: name for name, word in TYPES.items()}


@dataclass(frozen=True)
class Proof:
    """What was proved of one model: how many golden cases, over what, and its largest error as a multiple of PyTorch's own."""

    model: str
    version: int
    protocol: str
    cases: int
    ratio: float
    stage: str


class Subject:
    """A model that was written, with its configuration and its bundle's golden cases.

    Raises BundleError for a bundle without golden cases.
    """

    def __init__(self, written: WrittenModel) -> None:
        self.written = written
        self.config: Any = parse((written.folder / "config.pbtxt").read_text(encoding="utf-8"), "config.pbtxt")
        self.bundle = Bundle.open(written.bundle)
        self.cases = self.bundle.golden()

    def prove(self, wire: Wire, file: str | None, stop: Callable[[], bool]) -> Proof:
        """Hold the model to its golden cases; ``file`` is what it says that it runs, ``stop`` whether to leave off.

        Raises ParityError for an answer that is wrong, StageError for none.
        """
        cases = self.cases if wire.protocol == "http" else self.cases[:1]
        specs = self.bundle.manifest.outputs
        meters = {spec.name: ErrorMeter() for spec in specs}
        asked = 0
        for case in cases:
            if stop():
                break
            got = self._ask(wire, case.feeds)
            what = f"model {self.written.name!r} over {wire.protocol}, golden case {case.name!r}"
            check_outputs(specs, got, truth=case.truth, of=what)
            for name, meter in meters.items():
                meter.add(got[name], case.truth[name])
            asked += 1
        if not asked:
            return Proof(self.written.name, self.written.version, wire.protocol, 0, 0.0, "")
        verdicts = [self._judge(name, meter, file) for name, meter in meters.items()]
        ratio, stage = max(verdicts)
        return Proof(self.written.name, self.written.version, wire.protocol, asked, ratio, stage)

    def _ask(self, wire: Wire, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Send one golden case, in as many requests as the model's largest batch makes of it."""
        config, version = self.config, str(self.written.version)
        sent = {tensor.name: _as_declared(feeds[tensor.name], tensor, config) for tensor in config.input}
        rows = len(next(iter(sent.values()))) if config.max_batch_size else 1
        most = config.max_batch_size or 1
        answers = [
            wire.infer(
                config.name, {n: a[start : start + most] for n, a in sent.items()} if rows > most else sent, version
            )
            for start in range(0, rows, most)
        ]
        return {
            spec.name: _as_specified(np.concatenate([answer[spec.name] for answer in answers]), spec)
            if rows > most
            else _as_specified(answers[0][spec.name], spec)
            for spec in self.bundle.manifest.outputs
            if spec.name in answers[0]
        }

    def _judge(self, output: str, meter: ErrorMeter, file: str | None) -> tuple[float, str]:
        """The error of an output as a multiple of PyTorch's own, and the stage of the export that it was held to.

        Raises ParityError where it is above what that stage was allowed.
        """
        records = [r for r in self.bundle.manifest.parity if r.output == output]
        own = [r for r in records if r.file == file] or records
        spec = next(s for s in self.bundle.manifest.outputs if s.name == output)
        gates = [(self._gate(r, spec, meter), r.stage) for r in own]
        gate, stage = min(gates, key=lambda found: (not found[0].passed, found[0].ratio))
        if not gate.passed:
            raise ParityError(
                f"output {output!r} of model {self.written.name!r} errs {gate.ratio:.3g} times as much as PyTorch itself, "
                f"and {gate.factor:g} is allowed ({stage})",
                f"prove the bundle with: attnexport check {self.written.bundle}",
            )
        return gate.ratio, stage

    def _gate(self, record: ParityRecord, spec: TensorSpec, meter: ErrorMeter) -> Gate:
        precision = record.precision if spec.numpy_dtype.kind == "f" else spec.dtype
        return Gate.judge(meter.figures(), own_rms=record.own_rms, precision=precision, factor=record.gate.factor)


def smallest(cases: tuple[GoldenCase, ...]) -> GoldenCase:
    """The golden case with the least to send."""
    return min(cases, key=lambda case: sum(array.nbytes for array in case.feeds.values()))


def _as_declared(array: np.ndarray, tensor: Any, config: Any) -> np.ndarray:
    """A golden input as the configuration declares it: its type, and [1] where the model takes a scalar."""
    from ..triton.config import schema

    dtype = _DTYPES[schema().DataType.Name(tensor.data_type)]
    rank = len(tensor.dims) + (1 if config.max_batch_size else 0)
    declared = array.astype(dtype, copy=False)
    return declared.reshape(*declared.shape, 1) if declared.ndim == rank - 1 else declared


def _as_specified(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """An answer as the bundle specifies it; the other way round."""
    if array.ndim == len(spec.axes) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    same_kind = array.dtype.kind == spec.numpy_dtype.kind == "f"
    return array.astype(spec.numpy_dtype) if same_kind else array
