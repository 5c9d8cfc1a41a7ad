"""Verify a bundle: compare its files with the manifest, and its models with the golden cases. No torch.

Each record of the manifest's parity section becomes one row: the file runs on the golden cases, and
its error against their FP64 reference must stay within ``gate`` times PyTorch's rms error on the same
cases. The limit is the caller's, not the manifest's: a bundle can't vouch for itself. Every model and
every output needs a record. A bundle with parts has the rows of each part, then those of its decodes.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ...errors import AttnexportError, BundleError, ForeignEngineError, MissingBackendError
from ..bundle.bundle import StoredBundle
from ..bundle.figures import GATE, Gate, ParityRecord, check_factor, stable_limit
from ..bundle.golden import GoldenCase
from ..open.engine_fit import check_engine, check_form
from ..open.select import open_stage
from ..spec import check_feeds
from .case_errors import OutputErrors, compare_case, free_rows, require_outputs, stored_margins
from .check_decode import check_decodes
from .check_rows import FAILED, NOT_RUN, PASSED, UNSTABLE, CheckResult, CheckRow
from .compare import check_outputs

_PRECISIONS = {"int8": "int8+float16", "fp8": "fp8+float16", "fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_UNSURE = 2.0
"""PyTorch's error on the golden cases may be this many times above the limit of a stable output, which holds for all inputs."""


def check(
    path: str | Path,
    note: Callable[[str], None] = lambda _: None,
    *,
    allow_unstable: bool = False,
    gate: float = GATE,
) -> CheckResult:
    """Verify every file, then compare every model with its gate on the golden cases. ``note`` receives remarks for the user.

    A failed gate is a row, not an exception. ``allow_unstable``: rows on which PyTorch is far off,
    too, pass. ``gate``: largest error as a multiple of PyTorch's; the manifest's own is only reported. Raise BundleError
    for a bundle that is damaged or has nothing to check, InputError for a ``gate`` out of range.
    """
    check_factor(gate)
    bundle = StoredBundle.open(path)
    bundle.verify_files()
    if not bundle.manifest.parts:
        cases = bundle.golden()
        rows = _check_models(bundle, cases, note, gate)
        return CheckResult(str(path), len(cases), len(bundle.manifest.files), tuple(rows), allow_unstable)
    rows = []
    count = len(bundle.golden())
    for name, folder in bundle.manifest.parts.items():
        part = bundle.part(name)
        part.verify_files()
        cases = part.golden()
        count += len(cases)
        rows += [
            replace(row, stage=f"{name}: {row.stage}", file=f"{folder}/{row.file}")
            for row in _check_models(part, cases, note, gate)
        ]
    rows += check_decodes(bundle, note, gate)
    return CheckResult(str(path), count, len(bundle.manifest.files), tuple(rows), allow_unstable)


def _check_models(
    bundle: StoredBundle, cases: Sequence[GoldenCase], note: Callable[[str], None], factor: float
) -> list[CheckRow]:
    """The rows of a bundle of one graph."""
    for engine in bundle.manifest.engines:
        check_form(bundle, engine)
        check_engine(bundle, engine)
    for case in cases:
        _check_case(bundle, case)
    if not bundle.manifest.parity:
        raise BundleError(f"{bundle.path} has no parity records, so there is nothing to verify")
    stages: dict[tuple[str, str], list[ParityRecord]] = {}
    for record in (*bundle.manifest.parity, *_unverified_engines(bundle)):
        stages.setdefault((record.stage, record.file), []).append(record)
    rows = [row for records in stages.values() for row in _check_stage(bundle, records, cases, note, factor)]
    return [*rows, *_uncovered(bundle, stages, factor)]


def _uncovered(
    bundle: StoredBundle, stages: Mapping[tuple[str, str], Sequence[ParityRecord]], factor: float
) -> list[CheckRow]:
    """A failed row for each output of a stage and each model without a parity record, and for a record of another precision."""
    rows = []

    def fail(stage: str, file: str, output: str, reason: str) -> None:
        rows.append(CheckRow(stage, file, output, None, None, None, None, None, factor, None, FAILED, reason, ""))

    outputs = {spec.name: spec for spec in bundle.manifest.outputs}
    for (stage, file), records in stages.items():
        for name in sorted(outputs.keys() - {record.output for record in records}):
            fail(stage, file, name, "the manifest has no parity record of this output")
    covered = {file for _, file in stages}
    for file, record in bundle.manifest.files.items():
        kind = record.role.removeprefix("model-")
        if kind == record.role:
            continue
        if file not in covered:
            fail("", file, "", "the manifest has no parity record of this model")
        expected = _PRECISIONS.get(kind, kind)
        for (stage, name), records in stages.items():
            floats = [r for r in records if r.output in outputs and outputs[r.output].numpy_dtype.kind == "f"]
            if name == file and any(r.precision != expected for r in floats):
                fail(stage, file, "", f"the manifest compares a {kind} model with another precision of PyTorch")
    return rows


def _check_case(bundle: StoredBundle, case: GoldenCase) -> None:
    """Raise BundleError for a golden case of another model."""
    try:
        check_feeds(bundle.manifest.inputs, case.feeds)
    except AttnexportError as error:
        raise BundleError(f"golden case {case.name!r} of {bundle.path}: {error.problem}") from error
    names = [s.name for s in bundle.manifest.outputs]
    if sorted(case.reference) != sorted(names):
        raise BundleError(
            f"golden case {case.name!r} of {bundle.path} has outputs {', '.join(case.reference)} and the manifest "
            f"{', '.join(names)}"
        )


def _unverified_engines(bundle: StoredBundle) -> list[ParityRecord]:
    """Parity records for engines that were built without a GPU: those of the models of their precision."""
    verified = {record.file for record in bundle.manifest.parity}
    records = []
    for engine in bundle.manifest.engines:
        if engine.file in verified:
            continue
        precision = _PRECISIONS.get(engine.precision, engine.precision)
        like = {r.output: r for r in reversed(bundle.manifest.parity) if r.precision == precision}
        if not like:
            raise BundleError(f"engine {engine.file!r} has no {precision} parity records")
        records += [replace(r, stage=f"engine-{engine.precision}", file=engine.file) for r in like.values()]
    return records


def _check_stage(
    bundle: StoredBundle,
    records: Sequence[ParityRecord],
    cases: Sequence[GoldenCase],
    note: Callable[[str], None],
    factor: float,
) -> list[CheckRow]:
    stage, file = records[0].stage, records[0].file
    try:
        session, how = open_stage(bundle, stage, file, note)
    except ForeignEngineError as error:
        return [_bare(record, factor, NOT_RUN, f"{error.problem}; {error.remedy}") for record in records]
    except MissingBackendError as error:
        return [_bare(record, factor, NOT_RUN, error.problem) for record in records]
    except AttnexportError as error:
        return [_bare(record, factor, FAILED, error.problem) for record in records]
    specs = bundle.manifest.outputs
    selections = bundle.manifest.selections
    require_outputs([spec.name for spec in specs], selections)
    errors = {spec.name: OutputErrors() for spec in specs}
    margins = stored_margins(records, selections)
    noise = {record.output: record.torch_rms * record.gate.limit for record in records}
    with closing(session):
        try:
            for case in cases:
                got = session.run(case.feeds)
                check_outputs(specs, got, reference=case.reference, of=file, rows=free_rows(selections), noise=noise)
                for name, of_case in compare_case(
                    got, case.reference, selections, records[0].precision, margins, case.ties
                ).items():
                    errors[name].merge(of_case)
        except AttnexportError as error:
            return [_bare(record, factor, FAILED, error.problem, how) for record in records]
    dtypes = {spec.name: spec.numpy_dtype for spec in specs}
    rows = []
    for record in records:
        if record.output not in errors:
            raise BundleError(f"parity record of {file!r} names an unknown output {record.output!r}")
        exact = dtypes[record.output].kind != "f"
        precision = dtypes[record.output].name if exact else record.precision
        rows.append(_judge(record, errors[record.output], precision, factor, how))
    return rows


def _judge(record: ParityRecord, errors: OutputErrors, precision: str, factor: float, how: str) -> CheckRow:
    figures, agreement = errors.figures(), errors.agreement
    gate = Gate.judge(
        figures,
        torch_rms=record.torch_rms,
        precision=precision,
        factor=record.gate.limit_of(factor),
        agreement=agreement,
        torch_agreement=record.torch_agreement,
    )
    verdict, reason = PASSED, ""
    if not gate.passed:
        verdict, reason = FAILED, f"error is {gate.ratio:.3g}x PyTorch's error; the limit is {gate.factor:g}x"
        if agreement is not None:
            reason = f"{agreement.describe()}; {reason}"
    elif record.gate.unstable or not gate.torch_relative <= _UNSURE * min(stable_limit(precision), 1.0):
        share = f"{max(record.gate.torch_relative, gate.torch_relative):.2g}"
        verdict, reason = UNSTABLE, f"PyTorch's error is {share} of the output's rms, too large to judge an export"
    return replace(
        _bare(record, factor, verdict, reason, how),
        error=figures.rms,
        relative=figures.relative,
        cosine=figures.cosine,
        agreement=agreement.share if agreement is not None else None,
        ratio=gate.ratio,
    )


def _bare(record: ParityRecord, factor: float, verdict: str, reason: str, how: str = "") -> CheckRow:
    return CheckRow(
        record.stage,
        record.file,
        record.output,
        None,
        None,
        None,
        None,
        None,
        factor,
        record.gate.factor,
        verdict,
        reason,
        how,
    )
