"""Every way to run a model that can be measured, in the order of the tables. A new one is a file here and a name below."""

from __future__ import annotations

from . import attnexport_ort as ours
from . import compiled, eager, on_openvino, on_tensorrt, plain
from .contender import Call, Contender, Feeds, Runner

CONTENDERS: tuple[Contender, ...] = (
    eager.CONTENDER,
    compiled.CONTENDER,
    plain.CONTENDER,
    ours.CONTENDER,
    *ours.TYPED,
    on_openvino.CONTENDER,
    on_tensorrt.CONTENDER,
)
NAMES = tuple(contender.name for contender in CONTENDERS)

__all__ = ["CONTENDERS", "NAMES", "Call", "Contender", "Feeds", "Runner"]
