"""The operator matrix measured again on the machine at hand: small models of one operator, run or built, and compared."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

from ...errors import AttnexportError, MissingBackendError
from ...runtime.bundle.codec import encode_fields
from ...runtime.cuda import cuda_device
from ...runtime.sessions.providers import CUDA
from ..engine import find_flavour
from ..progress import Reporter, Stages
from ..targets import resolve, target_names, target_of
from ..targets.matrix import Matrix, Row, load, save, shipped
from . import attention, sampling, windows
from .backends import OrtProbe, TensorRTProbe
from .case import ProbeCase

__all__ = ["Difference", "Probed", "cases", "differences", "keep", "probe"]


@dataclass(frozen=True)
class Probed:
    """One target measured: its rows, and the seconds that it took."""

    matrix: Matrix
    library: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        rows = [row.to_json() for row in self.matrix.rows]
        return {"target": self.matrix.target, "library": self.library, "seconds": round(self.seconds, 2), "rows": rows}


@dataclass(frozen=True)
class Difference:
    """A case whose verdict here is not the shipped one; ``shipped`` is None where nothing was shipped."""

    target: str
    here: Row
    shipped: Row | None

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return encode_fields(self)


def cases() -> Iterator[ProbeCase]:
    """Everything that is measured."""
    return chain(sampling.cases(), attention.cases(), windows.cases())


def probe(targets: str | Collection[str], reporter: Reporter, only: Collection[str] = ()) -> list[Probed]:
    """Measure ``targets`` (names, families or aliases; empty: whatever can be measured here), operators ``only``.

    Raises InputError for an unknown target, MissingBackendError when a target that is named cannot be measured here;
    where none is named, that is a note.
    """
    wanted = resolve(targets) if targets else target_names()
    probes: dict[str, OrtProbe | TensorRTProbe] = {}
    reasons: dict[str, str] = {}
    for target in wanted:
        try:
            probes[target] = _probe_of(target)
        except AttnexportError as error:
            reasons[target] = error.problem
    if targets and not probes:
        raise MissingBackendError(
            "; ".join(f"{target} cannot be measured here: {reason}" for target, reason in reasons.items()),
            "attnexport doctor says what is missing",
        )
    for target, reason in reasons.items():
        reporter.note(f"{target} is not measured: {reason}")
    chosen = [case for case in cases() if not only or case.op in only]
    stages = Stages(reporter)
    found = []
    for target, backend in probes.items():
        with stages.run(target) as stage:
            measured = _measure(target, backend, chosen, reporter)
            counts = Counter(row.status for row in measured.matrix.rows)
            said = ", ".join(f"{count} {status}" for status, count in counts.most_common())
            stage.detail = f"{backend.library}: {len(chosen)} cases, {said}"
            found.append(measured)
    return found


def _measure(target: str, backend: OrtProbe | TensorRTProbe, chosen: Sequence[ProbeCase], reporter: Reporter) -> Probed:
    started, today = time.monotonic(), date.today().isoformat()
    rows = []
    for done, case in enumerate(chosen):
        reporter.progress(done / len(chosen), case.name)
        got = backend.measure(case)
        rows.append(
            Row(case.op, case.opset, case.facts, got.status, backend.library, today, got.how, got.reason, got.error)
        )
    return Probed(Matrix(target, tuple(rows)), backend.library, time.monotonic() - started)


def differences(probed: Collection[Probed]) -> list[Difference]:
    """Where the machine at hand does not agree with the shipped matrix."""
    found = []
    for one in probed:
        known = {row.key: row for row in shipped()[one.matrix.target].rows}
        pairs = [(row, known.get(row.key)) for row in one.matrix.rows]
        found += [Difference(one.matrix.target, row, old) for row, old in pairs if not old or old.status != row.status]
    return found


def keep(probed: Collection[Probed], path: Path) -> None:
    """Write what was measured to ``path``; where that holds a matrix already, the rest of it stays.

    Raises InputError for a file that is there and holds something else, or cannot be written.
    """
    known = load(path) if path.exists() else {}
    for one in probed:
        target = one.matrix.target
        known[target] = known.get(target, Matrix(target, ())).updated(one.matrix.rows)
    save(known.values(), path)


def _probe_of(target: str) -> OrtProbe | TensorRTProbe:
    """The backend of a target. Raises MissingBackendError, or what its library raises, where it cannot work here."""
    entry = target_of(target)
    if entry.providers:
        if entry.providers[0] == CUDA:
            _need_cuda()
        return OrtProbe(entry.providers[0])
    if entry.engine is None:
        raise MissingBackendError(f"nothing here runs {entry.title}")
    flavour = find_flavour(entry.engine.flavour)
    if entry.engine.major not in (None, flavour.version[0]):
        raise MissingBackendError(f"the TensorRT that is installed is {flavour.version_string}")
    return TensorRTProbe(flavour)


def _need_cuda() -> None:
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        raise MissingBackendError("onnxruntime has no CUDA provider", "pip install onnxruntime-gpu")
    if cuda_device() is None:
        raise MissingBackendError("no CUDA device is here")
