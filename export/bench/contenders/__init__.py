"""All contenders, in the order of the tables. A new contender is one file here and one line in ``CONTENDERS``."""

from . import on_openvino, on_ort, on_tensorrt, on_torch, plain
from .contender import Call, Contender, Feeds, Runner

CONTENDERS: tuple[Contender, ...] = (
    on_torch.EAGER, on_torch.COMPILED, plain.CONTENDER, on_ort.CONTENDER, *on_ort.TYPED, on_openvino.CONTENDER,
    on_tensorrt.CONTENDER,
)  # fmt: skip

__all__ = ["CONTENDERS", "Call", "Contender", "Feeds", "Runner"]
