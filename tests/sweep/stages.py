"""Several cases in one module, through the stages of the pipeline: torch.export's fixed cost is paid once for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program, trace_sizes
from attnexport.export.domain import DOMAIN
from attnexport.export.lower import LOWERINGS, Lowering, lower
from attnexport.export.stages.rewrite import find_windows
from attnexport.export.targets import target_names
from attnexport.runtime.inputs.feeds import random_feeds
from attnexport.runtime.sessions.ort import OrtSession

from .case import Case
from .catalogue import build
from .spellings.base import Spelling

SIZE = 8
"""Cases in a pack, at most: as many as ``Pack.forward`` has arguments."""


class Pack(nn.Module):
    """Each case with its own input and output."""

    def __init__(self, modules: Sequence[Spelling]) -> None:
        super().__init__()
        self.cases = nn.ModuleList(modules)

    def forward(
        self,
        x0: Tensor,
        x1: Tensor | None = None,
        x2: Tensor | None = None,
        x3: Tensor | None = None,
        x4: Tensor | None = None,
        x5: Tensor | None = None,
        x6: Tensor | None = None,
        x7: Tensor | None = None,
    ) -> list[Tensor]:
        given = [x for x in (x0, x1, x2, x3, x4, x5, x6, x7) if x is not None]
        return [module(x) for module, x in zip(self.cases, given, strict=True)]


@dataclass(frozen=True)
class Wish:
    """Which forms a pack takes: those that are quick on ``prefer``, but ``form`` wherever it is not refused.

    Maps as small as these would hardly ever get the forms that large ones get. ONNX Runtime runs every form.
    """

    prefer: str = "ort-cpu"
    form: str | None = None

    def __str__(self) -> str:
        return self.form or self.prefer

    @property
    def lowerings(self) -> list[Lowering]:
        """All of them, the wished one at no cost."""
        return [replace(rule, cost=lambda node: 0.0) if rule.name == self.form else rule for rule in LOWERINGS]


WISHES = (
    Wish(form="local_attention_shifts"),
    Wish(form="local_attention_blocks"),
    Wish(),
    Wish(prefer="tensorrt-rtx"),
)


@dataclass(frozen=True)
class Seen:
    """What recognising made of one case: the domain operators that its output comes from, and the reasons given for its nodes."""

    operators: Counter[str]
    reasons: tuple[str, ...]

    def is_one_of(self, wanted: Sequence[Mapping[str, int]], windows: int) -> bool:
        """Whether the domain's operators are exactly one of the wanted sets, and at most so many ``windows`` are left (of a mask)."""
        left = self.operators["Im2Col"] + self.operators["Unfold"]
        local = {name: n for name, n in self.operators.items() if name not in ("Im2Col", "Unfold")}
        return left <= windows and any(local == dict(w) for w in wanted)


@dataclass
class Exported:
    """The lowered model's session, the forms that it is made of, and what was recognised, by case."""

    session: OrtSession
    forms: Counter[str] = field(default_factory=Counter)
    seen: list[Seen] = field(default_factory=list)

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """An output per case."""
        got = self.session.run({f"x{i}": feed for i, feed in enumerate(feeds)})
        return [got[f"y{i}"] for i in range(len(feeds))]


def export(cases: Sequence[Case], modules: Sequence[Spelling], wish: Wish) -> Exported:
    """Capture, raise, recognise, lower and load the cases together, as export/pipeline.py does."""
    specs = [case.spec(f"x{i}") for i, case in enumerate(cases)]
    feeds = random_feeds(specs, trace_sizes(specs), seed=0)
    arguments = [torch.from_numpy(feeds[spec.name]) for spec in specs]
    program = export_program(Pack(modules).eval(), specs, arguments)
    captured = to_onnx(program, specs, [f"y{i}" for i in range(len(cases))])
    recognised = find_windows(captured.model)
    lowered = lower(recognised.model, target_names(), wish.lowerings, prefer=wish.prefer)
    session = OrtSession(lowered.model.SerializeToString(), threads=1)
    reasons = {refused.node: refused.reason for refused in recognised.refused}
    forms = Counter(applied.lowering for applied in lowered.applied)
    return Exported(session, forms, [_seen(recognised.model, reasons, f"y{i}") for i in range(len(cases))])


def _seen(model: onnx.ModelProto, reasons: Mapping[str, str], output: str) -> Seen:
    makers = {name: node for node in model.graph.node for name in node.output}
    waiting, found = [output], {}
    while waiting:
        node = makers.pop(waiting.pop(), None)
        if node is not None:
            found[node.name] = node
            waiting += node.input
    operators = Counter(node.op_type for node in found.values() if node.domain == DOMAIN)
    return Seen(operators, tuple(sorted({reasons[name] for name in found if name in reasons})))


def rebuild(case: Case, wish: Wish = Wish()) -> Exported:
    """One case by itself: what a report of a failure is looked into with."""
    return export([case], [build(case)], wish)
