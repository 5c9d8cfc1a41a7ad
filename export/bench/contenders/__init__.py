"""All contenders, in the order of the tables. A new contender is one file here and one line in ``CONTENDERS``."""

from __future__ import annotations

from . import attnexport_ort, compiled, eager, on_openvino, on_tensorrt, plain
from .contender import Call, Contender, Feeds, Runner

CONTENDERS: tuple[Contender, ...] = (
    eager.CONTENDER,
    compiled.CONTENDER,
    plain.CONTENDER,
    attnexport_ort.CONTENDER,
    *attnexport_ort.TYPED,
    on_openvino.CONTENDER,
    on_tensorrt.CONTENDER,
)

__all__ = ["CONTENDERS", "Call", "Contender", "Feeds", "Runner"]
