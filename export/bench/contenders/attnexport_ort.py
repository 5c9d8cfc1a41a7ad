"""The bundle's models on ONNX Runtime: the FP32 model and the typed ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ....errors import InputError
from .contender import Contender, Runner, fixed_precision
from .on_ort import open_graph, provider_absent

if TYPE_CHECKING:
    from ..site import Site

_ON_CPU = ("int8",)
"""ONNX Runtime's CPU provider has no kernels of the other types: it computes them in FP32, between casts."""


def _absent(model_type: str) -> Callable[[Site], str | None]:
    def absent(site: Site) -> str | None:
        if site.model.file(f"model-{model_type}") is None:
            return f"the bundle has no {model_type} model"
        if site.device == "cpu" and model_type not in ("fp32", *_ON_CPU):
            return f"ONNX Runtime's CPU provider computes {model_type} in FP32, so its time is meaningless"
        return provider_absent(site)

    return absent


def _open(model_type: str) -> Callable[[Site], Runner]:
    def open_(site: Site) -> Runner:
        path = site.model.file(f"model-{model_type}")
        if path is None:
            raise InputError(f"{site.model.bundle} has no {model_type} model", "export it with --precision")
        return open_graph(path, site)

    return open_


CONTENDER = Contender("attnexport", "attnexport, ONNX Runtime", _absent("fp32"), _open("fp32"))
TYPED = tuple(
    Contender(
        f"attnexport-{model_type}",
        f"attnexport {model_type}, ONNX Runtime",
        _absent(model_type),
        _open(model_type),
        precision=fixed_precision(model_type),
        common=False,
    )
    for model_type in ("fp16", "bf16", "int8", "fp8")
)
