"""One thing that a scan has to say, and how equal ones are put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ..graph.origin import Origin
from ..targets import target_names

Status = Literal["cannot", "wrong", "slow", "left"]
"""It does not run; it runs and gives other values; it runs slowly; attention in local windows that was not recognised."""
ORDER: tuple[Status, ...] = ("cannot", "wrong", "slow", "left")


@dataclass(frozen=True)
class Finding:
    """An operator on some targets: what of it, where it comes from, how often, and why."""

    status: Status
    operator: str
    targets: tuple[str, ...]
    reason: str
    module: str = ""
    kind: str = ""
    source: str = ""
    count: int = 1
    modules: tuple[str, ...] = ()
    """Every module that it was found in."""

    @classmethod
    def of(cls, status: Status, operator: str, targets: Sequence[str], reason: str, origin: Origin | None) -> Finding:
        """Found once, at ``origin``."""
        known = origin or Origin("", "", "")
        return cls(status, operator, tuple(targets), reason, known.module, known.kind, known.source, 1, (known.module,))

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return asdict(self)


def together(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One for each operator and line: of all targets and modules that it was found for, with every reason. The worst first."""
    merged: dict[tuple[Any, ...], Finding] = {}
    counts: Counter[tuple[Any, ...]] = Counter()
    for one in findings:
        key = (one.status, one.operator, one.kind, one.source)
        counts.update((key, target) for target in one.targets)
        first = merged.setdefault(key, one)
        targets = tuple(name for name in target_names() if name in {*first.targets, *one.targets})
        merged[key] = replace(
            first,
            targets=targets,
            modules=tuple(dict.fromkeys((*first.modules, *one.modules))),
            reason=first.reason if one.reason in first.reason else f"{first.reason}; {one.reason}",
            count=max(counts[key, target] for target in targets),
        )
    return tuple(sorted(merged.values(), key=lambda one: (ORDER.index(one.status), one.module, one.operator)))
