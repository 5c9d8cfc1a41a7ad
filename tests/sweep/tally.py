"""Counting: cases, those recognised, those wrong, by spelling; and the table that says so."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from .case import Case
from .catalogue import SPELLINGS
from .stages import Seen


@dataclass
class Tally:
    """What came of the cases so far."""

    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """Local attention that was not recognised."""
    seen: set[Case] = field(default_factory=set)
    forms: Counter[str] = field(default_factory=Counter)
    """How often each lowering was taken."""
    _cases: Counter[str] = field(default_factory=Counter)
    _local: Counter[str] = field(default_factory=Counter)
    _recognised: Counter[str] = field(default_factory=Counter)
    _reasons: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, case: Case, seen: Seen | None, faults: Sequence[str]) -> None:
        """Count a case; ``seen`` is None where it could not be exported."""
        self.seen.add(case)
        self._cases[case.spelling] += 1
        self.wrong += [f"{fault}\n    {case!r}" for fault in faults]
        if not is_local(case):
            return
        self._local[case.spelling] += 1
        if seen is not None and seen.is_one_of(SPELLINGS[case.spelling].WANTED, mask_windows(case)):
            self._recognised[case.spelling] += 1
            return
        left = (
            ", ".join(f"{n} {op}" for op, n in sorted(seen.operators.items())) or "nothing" if seen else "not exported"
        )
        reason = "; ".join(seen.reasons) if seen and seen.reasons else "no reason given"
        self._reasons[case.spelling][f"{left}: {reason}"] += 1
        self.missed.append(f"{left}: {reason}\n    {case!r}")

    @property
    def local(self) -> int:
        """Cases that are local attention."""
        return self._local.total()

    @property
    def share(self) -> float:
        """Of those, the share that was recognised."""
        return self._recognised.total() / max(self.local, 1)

    def table(self) -> str:
        """By spelling: cases, recognised, and the reasons of the rest."""
        lines = [f"{'spelling':<22}{'cases':>7}{'local':>7}{'recognised':>12}"]
        for name in (name for name in SPELLINGS if self._cases[name]):
            lines.append(f"{name:<22}{self._cases[name]:>7}{self._local[name]:>7}{self._recognised[name]:>12}")
            lines += [f"    {n} x {reason}" for reason, n in self._reasons[name].most_common()]
        lines.append("forms: " + ", ".join(f"{name} {n}" for name, n in self.forms.most_common()))
        lines.append(
            f"{len(self.seen)} cases, {len(self.wrong)} wrong; {self.share:.1%} of {self.local} local attentions recognised"
        )
        return "\n".join(lines)


def is_local(case: Case) -> bool:
    """Whether there is local attention to recognise: no decoy, and more than one window."""
    return bool(SPELLINGS[case.spelling].WANTED) and max(case.geometry.counts) > 1


def mask_windows(case: Case) -> int:
    """A mask of the padding may be made by unfolding an image of its own: one operator per axis at most."""
    return case.geometry.rank if case.chosen.get("term") in ("unfolded_mask", "padded_mask") else 0
