"""Golden inputs answered correctly through the wire: without that no server is ready.

A model is held to the gate that its bundle's own export passed, over HTTP with every golden case and over gRPC with the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BundleError, ParityError
from ..bundle.bundle import MANIFEST, StoredBundle, sha256_of
from ..bundle.figures import Gate, ParityRecord
from ..bundle.golden import GoldenCase
from ..check.check_decode import MARGINS, TOKENS, joined
from ..check.compare import ErrorMeter, check_outputs
from ..decode.agreement import agree
from ..decode.bundle_decoder import parts_of
from ..spec import TensorSpec
from ..triton.config import parse
from ..triton.model_tensors import TYPES
from ..triton.options import WrittenModel
from .wire import Wire

CLIENT_ROLES = ("model", "ensemble")
"""Roles of models that clients call. The encoder and the decode loop of a sequence model are proved through its ensemble."""
_DTYPES = {word: name for name, word in TYPES.items()}


@dataclass(frozen=True)
class Verification:
    """What was proved of one model: how many golden cases, by which protocol, and how well they were answered, in words."""

    model: str
    version: int
    protocol: str
    cases: int
    held: str


class DeployedModel:
    """A model that was written, with its configuration and its bundle's golden cases.

    Raises BundleError for a bundle without golden cases.
    """

    def __init__(self, written: WrittenModel) -> None:
        self.written = written
        self.config: Any = parse((written.folder / "config.pbtxt").read_text(encoding="utf-8"), "config.pbtxt")
        self.bundle = StoredBundle.open(written.bundle)
        self.cases = self.bundle.golden()
        self.digest = digest_of(written.bundle)

    @property
    def code(self) -> tuple[Path, ...]:
        """The file that a process of the Python backend loads for it; none for another backend."""
        found = self.written.folder / str(self.written.version) / "model.py"
        return (found,) if found.is_file() else ()

    def prove(self, wire: Wire, file: str | None, stop: Callable[[], bool]) -> Verification | None:
        """Hold the model to its golden cases, all of them over HTTP and the first over gRPC; None for a part of a sequence model.

        ``file`` is what the model says that it runs, ``stop`` whether to leave off: then the proof is of fewer cases.
        Raises ParityError for an answer that is wrong, StageError for none.
        """
        if self.written.role not in CLIENT_ROLES:
            return None
        cases = self.cases if wire.protocol == "http" else self.cases[:1]
        done: list[tuple[GoldenCase, dict[str, np.ndarray]]] = []
        for case in cases:
            if stop():
                break
            done.append((case, self._ask(wire, case.feeds)))
        held = self._hold_tokens(done) if self.written.role == "ensemble" else self._hold_values(done, wire, file)
        return Verification(self.written.name, self.written.version, wire.protocol, len(done), held)

    def _ask(self, wire: Wire, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Send one golden case, in as many requests as the model's largest batch makes of it."""
        config, version = self.config, str(self.written.version)
        sent = {tensor.name: as_declared(feeds[tensor.name], tensor, config) for tensor in config.input}
        rows = len(next(iter(sent.values())))
        most = config.max_batch_size
        if not most or rows <= most:
            return wire.infer(config.name, sent, version)
        answers = [
            wire.infer(config.name, {name: array[start : start + most] for name, array in sent.items()}, version)
            for start in range(0, rows, most)
        ]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def _hold_values(
        self, done: Sequence[tuple[GoldenCase, Mapping[str, np.ndarray]]], wire: Wire, file: str | None
    ) -> str:
        specs = self.bundle.manifest.outputs
        meters = {spec.name: ErrorMeter() for spec in specs}
        for case, answer in done:
            got = {spec.name: _as_specified(answer[spec.name], spec) for spec in specs if spec.name in answer}
            what = f"model {self.written.name!r} over {wire.protocol}, golden case {case.name!r}"
            check_outputs(specs, got, truth=case.truth, of=what)
            for name, meter in meters.items():
                meter.add(got[name], case.truth[name])
        if not done:
            return "nothing asked"
        ratio, stage = max(self._judge(name, meter, file) for name, meter in meters.items())
        return f"at most {ratio:.2f} times PyTorch's own error ({stage})"

    def _hold_tokens(self, done: Sequence[tuple[GoldenCase, Mapping[str, np.ndarray]]]) -> str:
        """Token for token; a row may leave the truth only where the export's own decodes were allowed to, at a tie."""
        facts, _ = parts_of(self.bundle)
        tie = max((2 * r.factor * r.own_error for r in facts.parity if r.width == 1), default=0.0)
        found = [
            agree(case.truth[TOKENS], answer[TOKENS], case.truth[MARGINS], end=facts.end, tie=tie)
            for case, answer in done
        ]
        total = joined(found)
        if total.wrong:
            raise ParityError(
                f"model {self.written.name!r} writes other tokens than the original in {len(total.wrong)} of {total.rows} rows",
                f"prove the bundle with: attnexport check {self.written.bundle}",
            )
        return total.describe()

    def _judge(self, output: str, meter: ErrorMeter, file: str | None) -> tuple[float, str]:
        """The error of an output as a multiple of PyTorch's own, and the stage of the export that it was held to.

        Raises ParityError where it is above what that stage was allowed, BundleError where no stage was held to anything.
        """
        records = [r for r in self.bundle.manifest.parity if r.output == output]
        if not records:
            raise BundleError(
                f"{self.written.bundle} does not say how far output {output!r} may be off", "export the bundle again"
            )
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


def digest_of(bundle: Path) -> str:
    """What tells one state of a bundle from another: its manifest holds the hash of every file."""
    return sha256_of(bundle / MANIFEST)


def as_declared(array: np.ndarray, tensor: Any, config: Any) -> np.ndarray:
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
