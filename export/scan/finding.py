"""One finding of a scan, and the merging of equal findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..graph.origin import Origin
from ..targets import target_names

Status = Literal["cannot", "wrong", "slow", "left"]
"""The operator does not run; returns wrong values; is slow; is local attention that is not recognised."""
ORDER: tuple[Status, ...] = ("cannot", "wrong", "slow", "left")


@dataclass(frozen=True)
class Finding:
    """An operator on some targets, with its reason, its module and line, and its count. ``modules``: every module with it."""

    status: Status
    operator: str
    targets: tuple[str, ...]
    reason: str
    module: str = ""
    kind: str = ""
    source: str = ""
    count: int = 1
    modules: tuple[str, ...] = ()

    @classmethod
    def of(cls, status: Status, operator: str, targets: Sequence[str], reason: str, origin: Origin | None) -> Finding:
        """Return one finding at ``origin``."""
        known = origin or Origin("", "", "")
        return cls(status, operator, tuple(targets), reason, known.module, known.kind, known.source, 1, (known.module,))


def together(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Merge the findings of each operator and line, with all targets, modules and reasons. The worst come first."""
    merged: dict[tuple[Any, ...], Finding] = {}
    counts: Counter[tuple[Any, ...]] = Counter()
    for finding in findings:
        key = (finding.status, finding.operator, finding.kind, finding.source)
        counts.update((key, target) for target in finding.targets)
        first = merged.setdefault(key, finding)
        targets = tuple(name for name in target_names() if name in {*first.targets, *finding.targets})
        modules = tuple(dict.fromkeys((*first.modules, *finding.modules)))
        reason = first.reason if finding.reason in first.reason else f"{first.reason}; {finding.reason}"
        count = max(counts[key, target] for target in targets)
        merged[key] = replace(first, targets=targets, modules=modules, reason=reason, count=count)
    return tuple(sorted(merged.values(), key=lambda f: (ORDER.index(f.status), f.module, f.operator)))
