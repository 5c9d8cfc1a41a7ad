"""A deployed model: it must answer its golden inputs over HTTP and gRPC within the gate of its export.

HTTP gets every golden case, gRPC the first one. The server is ready only after that, and prints
the curl command of an example: one row of a golden case in a JSON file.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BundleError, ParityError
from ..bundle.bundle import MANIFEST, StoredBundle
from ..bundle.figures import Gate, ParityRecord
from ..bundle.golden import GoldenCase
from ..check.case_errors import OutputErrors, compare_case, free_rows, stored_margins
from ..check.check_decode import MARGINS, TOKENS
from ..check.compare import check_outputs
from ..decode.agreement import agree, joined
from ..decode.bundle_decoder import parts_of
from ..files.read import sha256_of
from ..spec import TensorSpec
from ..triton.config import TYPES, parse
from ..triton.options import WrittenModel
from .client import Wire, type_name
from .options import Endpoints

CLIENT_ROLES = ("model", "ensemble")
"""Roles of the models that clients call. The ensemble of a sequence model also verifies its encoder and decode loop."""
_DTYPES = {word: name for name, word in TYPES.items()}


class DeployedModel:
    """A model of the repository, with its configuration and its bundle's golden cases.

    Raise BundleError for a bundle without golden cases.
    """

    def __init__(self, written: WrittenModel) -> None:
        self.written = written
        self.config: Any = parse((written.folder / "config.pbtxt").read_text(encoding="utf-8"), "config.pbtxt")
        self.bundle = StoredBundle.open(written.bundle)
        self.cases = self.bundle.golden()
        self.digest = digest_of(written.bundle)

    @property
    def code(self) -> tuple[Path, ...]:
        """The file that a process of the Python backend loads for this model; empty for another backend."""
        file = self.written.folder / str(self.written.version) / "model.py"
        return (file,) if file.is_file() else ()

    def verify(self, wire: Wire, file: str | None, stop: Callable[[], bool]) -> tuple[int, str] | None:
        """Send the golden cases and compare the answers; return their number and the error in words.

        None for a part of a sequence model.

        ``file`` is the file that the model reports to run. If ``stop`` returns True, the remaining
        cases are left out. Raise ParityError for a wrong answer, StageError for a missing one.
        """
        if self.written.role not in CLIENT_ROLES:
            return None
        cases = self.cases if wire.protocol == "http" else self.cases[:1]
        answered: list[tuple[GoldenCase, dict[str, np.ndarray]]] = []
        for case in cases:
            if stop():
                break
            answered.append((case, self._infer(wire, case.feeds)))
        sequence = self.written.role == "ensemble"
        error = self._compare_tokens(answered) if sequence else self._compare_values(answered, wire, file)
        return len(answered), error

    def _infer(self, wire: Wire, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Send one golden case, split into requests of the model's largest batch."""
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

    def _compare_values(
        self, answered: Sequence[tuple[GoldenCase, Mapping[str, np.ndarray]]], wire: Wire, file: str | None
    ) -> str:
        specs = self.bundle.manifest.outputs
        selections = self.bundle.manifest.selections
        errors = {spec.name: OutputErrors() for spec in specs}
        for case, answer in answered:
            got = {spec.name: _as_specified(answer[spec.name], spec) for spec in specs if spec.name in answer}
            what = f"model {self.written.name!r} over {wire.protocol}, golden case {case.name!r}"
            checked = {spec.name: self._records(spec.name, file) for spec in specs}
            noise = {name: max(r.torch_rms * r.gate.limit for r in of_name) for name, of_name in checked.items()}
            check_outputs(specs, got, reference=case.reference, of=what, rows=free_rows(selections), noise=noise)
            records = [checked[spec.name][0] for spec in specs]
            margins = stored_margins(records, selections)
            of_outputs = compare_case(got, case.reference, selections, records[0].precision, margins, case.ties)
            for name, of_case in of_outputs.items():
                errors[name].merge(of_case)
        if not answered:
            return "no case was sent"
        ratio, stage = max(self._judge(name, of_output, file) for name, of_output in errors.items())
        return f"at most {ratio:.2f}x PyTorch's error ({stage})"

    def _compare_tokens(self, answered: Sequence[tuple[GoldenCase, Mapping[str, np.ndarray]]]) -> str:
        """Compare token by token. A row may differ from the reference only at a tie, as in the gate of the export."""
        facts, _ = parts_of(self.bundle)
        tie = max((2 * r.factor * r.torch_error for r in facts.parity if r.width == 1), default=0.0)
        total = joined([
            agree(case.reference[TOKENS], answer[TOKENS], case.reference[MARGINS], end=facts.end, tie=tie)
            for case, answer in answered
        ])  # fmt: skip
        if total.wrong:
            raise ParityError(
                f"model {self.written.name!r} decodes other tokens than the original in {len(total.wrong)} of {total.rows} rows",
                f"verify the bundle with: attnexport check {self.written.bundle}",
            )
        return total.describe()

    def _judge(self, output: str, errors: OutputErrors, file: str | None) -> tuple[float, str]:
        """The error of an output as a multiple of PyTorch's error, and the stage of the export whose gate applies.

        Raise ParityError if the error is above the limit of that stage, BundleError if no stage has
        a gate for the output.
        """
        spec = next(s for s in self.bundle.manifest.outputs if s.name == output)
        gates = [(self._gate(r, spec, errors), r.stage) for r in self._records(output, file)]
        gate, stage = min(gates, key=lambda judged: (not judged[0].passed, judged[0].ratio))
        if not gate.passed:
            raise ParityError(
                f"output {output!r} of model {self.written.name!r}: error is {gate.ratio:.3g}x PyTorch's error; "
                f"the limit is {gate.factor:g}x ({stage})",
                f"verify the bundle with: attnexport check {self.written.bundle}",
            )
        return gate.ratio, stage

    def _records(self, output: str, file: str | None) -> list[ParityRecord]:
        """The records of an output, those of ``file`` if there are any. Raise BundleError without one."""
        records = [r for r in self.bundle.manifest.parity if r.output == output]
        if not records:
            raise BundleError(f"{self.written.bundle} has no gate for output {output!r}")
        return [r for r in records if r.file == file] or records

    def _gate(self, record: ParityRecord, spec: TensorSpec, errors: OutputErrors) -> Gate:
        return Gate.judge(
            errors.figures(),
            torch_rms=record.torch_rms,
            precision=record.precision if spec.numpy_dtype.kind == "f" else spec.dtype,
            factor=record.gate.limit,
            agreement=errors.agreement,
            torch_agreement=record.torch_agreement,
        )


def digest_of(bundle: Path) -> str:
    """The digest of a bundle: of its manifest, which has the hash of every file."""
    return sha256_of(bundle / MANIFEST)


def as_declared(array: np.ndarray, tensor: Any, config: Any) -> np.ndarray:
    """A golden input in the type and rank of the configuration, which declares a scalar as [1]."""
    from ..triton.config import schema

    dtype = _DTYPES[schema().DataType.Name(tensor.data_type)]
    rank = len(tensor.dims) + (1 if config.max_batch_size else 0)
    declared = array.astype(dtype, copy=False)
    return declared.reshape(*declared.shape, 1) if declared.ndim == rank - 1 else declared


def _as_specified(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """An answer in the type and rank of the bundle: the inverse of :func:`as_declared`."""
    if array.ndim == len(spec.axes) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    same_kind = array.dtype.kind == spec.numpy_dtype.kind == "f"
    return array.astype(spec.numpy_dtype) if same_kind else array


_MOST = 1 << 20
"""The most numbers in the JSON file."""


def write_example(model: DeployedModel, endpoints: Endpoints, folder: Path) -> tuple[str, str] | None:
    """Return the command and the expected answer (empty unless it is a class); None if the inputs do not fit in JSON.

    The request to a classifier asks for the best class, which Triton answers as ``score:number``,
    with a label if it has one.
    """
    if model.written.role not in CLIENT_ROLES:
        return None
    case = min(model.cases, key=lambda case: sum(array.size for array in case.feeds.values()))
    feeds = {tensor.name: as_declared(case.feeds[tensor.name], tensor, model.config) for tensor in model.config.input}
    if model.config.max_batch_size:
        feeds = {name: array[:1] for name, array in feeds.items()}
    if sum(array.size for array in feeds.values()) > _MOST or not all(_plain(array) for array in feeds.values()):
        return None
    request: dict[str, Any] = {
        "inputs": [
            {"name": name, "datatype": type_name(array), "shape": list(array.shape), "data": array.ravel().tolist()}
            for name, array in feeds.items()
        ]
    }
    expected = ""
    outputs = model.bundle.manifest.outputs
    if model.bundle.manifest.task == "classification" and model.config.max_batch_size and len(outputs[0].axes) == 2:
        name = outputs[0].name
        request["outputs"] = [{"name": name, "parameters": {"classification": 1}}]
        expected = f"class {int(case.reference[name][0].argmax())}"
    folder.mkdir(exist_ok=True)
    file = folder / f"{model.written.name}.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    url = f"{endpoints.to_json()['http']}/v2/models/{model.written.name}/infer"
    return f"curl -s {url} -d @{file}", expected


def _plain(array: np.ndarray) -> bool:
    """Whether JSON can hold the array: JSON has no NaN and no infinity, and Triton does not read FP16 from JSON."""
    return array.dtype != np.float16 and (array.dtype.kind != "f" or bool(np.isfinite(array).all()))
