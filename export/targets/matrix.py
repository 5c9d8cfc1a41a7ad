"""The operator matrix: what each target does with an operator, as measured rows, and the questions lowerings ask of it.

A row holds what was run (operator, opset, facts such as dtype, rank, mode, head_size) and what came of it. A question
names facts; rows that state all of them decide, the worst of them first; a fact that only some rows state (a grid of
another type than the image) counts when it is asked for. Where no row has just these facts together,
each fact is judged by the rows that have it; a number between two measured ones by both neighbours. Rows of another
dtype, rank or version of the operator never count. Nothing measured is ``unknown``, which is not ``ok``.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from ...errors import InputError
from ...runtime.files.write import write_file
from .target import SHIPPED, target_names, target_of

Status = Literal["ok", "slow", "wrong", "fails", "unknown"]
Fact = str | int | bool

_CORE = ("dtype", "rank")
_ORDER: dict[Status, int] = {"fails": 0, "wrong": 1, "slow": 2, "ok": 3}


@dataclass(frozen=True)
class Row:
    """One measurement. ``how``: 'ran', 'built, not run' or 'cited' (then ``source`` names the document).

    ``error`` is the largest difference from an FP64 reference, over the largest value of that.
    """

    op: str
    opset: int
    facts: Mapping[str, Fact]
    status: Status
    library: str
    date: str
    how: str
    reason: str = ""
    error: float | None = None
    source: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """What was measured: rows with one key are measurements of one thing."""
        return (self.op, self.opset, *sorted(self.facts.items()))

    def says(self, name: str, value: Fact) -> bool:
        """Whether the row is about this fact. A cited one is about whatever it does not name."""
        return self.facts.get(name, value if self.how == "cited" else None) == value

    def describe(self) -> str:
        """``ran, onnxruntime 1.31.1, 2026-11-21``."""
        return ", ".join(part for part in (self.how, self.library, self.date, self.source) if part)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, without what is not said."""
        values = {"op": self.op, "opset": self.opset, "facts": dict(self.facts), "status": self.status}
        rest = {name: getattr(self, name) for name in ("reason", "error", "how", "library", "date", "source")}
        return values | {name: value for name, value in rest.items() if value not in ("", None)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Row":
        """Read a row. Raises InputError for one that is not of this form."""
        try:
            row = cls(**values)
        except TypeError as error:
            raise InputError(f"a row of the operator matrix cannot be read: {error}", "measure it again") from error
        if row.status not in get_args(Status):
            raise InputError(f"status {row.status!r} of {row.op} is not known", f"use {', '.join(get_args(Status))}")
        return row


@dataclass(frozen=True)
class Verdict:
    """What is known of an operator on a target. ``measured`` says on what, when and how."""

    status: Status
    reason: str = ""
    measured: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is known to run and to be right (it may be slow)."""
        return self.status in ("ok", "slow")


@dataclass(frozen=True)
class Matrix:
    """All rows of one target."""

    target: str
    rows: tuple[Row, ...] = field(repr=False)

    def updated(self, rows: Iterable[Row]) -> "Matrix":
        """With these rows in place of older ones of the same key, and the rest as it was."""
        newer = {row.key: row for row in rows}
        kept = {row.key: row for row in self.rows}
        return Matrix(self.target, tuple({**kept, **newer}.values()))

    def verdict(self, op: str, *, opset: int, **facts: Fact) -> Verdict:
        """What is known of ``op`` as opset ``opset`` has it, with these facts."""
        rows = [row for row in self.rows if row.op == op and _since(op, row.opset) == _since(op, opset)]
        core = {name: facts[name] for name in _CORE if name in facts}
        rows = [row for row in rows if all(row.facts.get(name, value) == value for name, value in core.items())]
        exact = [row for row in rows if all(row.says(name, value) for name, value in facts.items())]
        if exact:
            return _worst(_usual(exact, facts))
        title = target_of(self.target).title
        if not rows or not facts:
            said = f"{op} with {', '.join(f'{name}={value}' for name, value in core.items())}" if core else op
            return Verdict("unknown", f"{said} was not measured on {title}")
        judged = []
        for name, value in facts.items():
            for group in _with_fact(rows, name, value):
                if not group:
                    return Verdict("unknown", f"{op} with {name}={value} was not measured on {title}")
                judged.append(min(group, key=lambda row: -_ORDER[row.status]))
        return _worst(judged)


def _usual(rows: list[Row], asked: Mapping[str, Fact]) -> list[Row]:
    """Without measurements of an oddity: a fact that only some rows state, and that was not asked for."""
    stated = set.intersection(*(set(row.facts) for row in rows)) | set(asked)
    return [row for row in rows if row.how == "cited" or set(row.facts) <= stated] or rows


def _with_fact(rows: list[Row], name: str, value: Fact) -> list[list[Row]]:
    """The rows with a fact; for a number that has none, those of the next lower and the next higher one."""
    same = [row for row in rows if row.says(name, value)]
    if same or isinstance(value, bool | str):
        return [same]
    numbers = sorted({number for row in rows if isinstance(number := row.facts.get(name), int)})
    below, above = [n for n in numbers if n < value], [n for n in numbers if n > value]
    neighbours = [below[-1:], above[:1]]
    return [[row for row in rows if row.facts.get(name) in near] for near in neighbours]


def _worst(rows: list[Row]) -> Verdict:
    row = min(rows, key=lambda row: _ORDER[row.status])
    mixed = any(_ORDER[other.status] > _ORDER[row.status] for other in rows)
    facts = ", ".join(f"{name}={value}" for name, value in row.facts.items())
    reason = f"with {facts}: {row.reason}" if mixed and row.reason else row.reason
    return Verdict(row.status, reason, row.describe())


@cache
def _since(op: str, opset: int) -> int:
    import onnx

    try:
        return int(onnx.defs.get_schema(op, opset).since_version)
    except onnx.defs.SchemaError:
        return opset  # no operator of that opset, or of a name of our own


def load(path: Path = SHIPPED) -> dict[str, Matrix]:
    """The matrices of a file by target. Raises InputError for a file that holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tables = {target_of(name).name: rows["rows"] for name, rows in content.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} holds no operator matrix: {error}", "give a file of doctor --probe --save") from error
    return {name: Matrix(name, tuple(map(Row.from_json, rows))) for name, rows in tables.items()}


def save(matrices: Collection[Matrix], path: Path) -> None:
    """Write matrices, one row a line, so that a difference reads well."""
    ordered = sorted(matrices, key=lambda matrix: target_names().index(matrix.target))
    blocks = []
    for matrix in ordered:
        rows = ",\n".join(f"  {json.dumps(row.to_json(), allow_nan=False)}" for row in matrix.rows)
        blocks.append(f'{json.dumps(matrix.target)}: {{"rows": [\n{rows}\n]}}')
    write_file(path, "{\n" + ",\n".join(blocks) + "\n}\n")


_loaded = cache(load)


def shipped() -> dict[str, Matrix]:
    """The matrix of every target, from the file that its entry names; empty if the file does not have the target."""
    return {name: _loaded(target_of(name).matrix).get(name, Matrix(name, ())) for name in target_names()}


def verdict(target: str, op: str, *, opset: int, **facts: Fact) -> Verdict:
    """What the shipped matrix says: ``verdict('tensorrt-rtx', 'GridSample', rank=4, dtype='float16', mode='linear', opset=18)``.

    Raises InputError for an unknown target.
    """
    return shipped()[target_of(target).name].verdict(op, opset=opset, **facts)


def refusal(targets: Collection[str], op: str, *, opset: int, proven: bool = False, **facts: Fact) -> str | None:
    """Why ``op`` must not be written for ``targets``: the first that is known to fail or to be wrong; None where none is.

    With ``proven`` an operator that was not measured is refused too.
    """
    for target in targets:
        found = verdict(target, op, opset=opset, **facts)
        if found.ok or (found.status == "unknown" and not proven):
            continue
        return found.reason if found.status == "unknown" else f"{target_of(target).title}: {found.reason}"
    return None
