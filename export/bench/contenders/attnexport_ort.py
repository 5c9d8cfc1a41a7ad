"""The bundle's models on ONNX Runtime: the FP32 model, and those of smaller types where they are quicker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ....errors import InputError
from .contender import Contender, Runner, in_form
from .on_ort import open_graph, provider_absent

if TYPE_CHECKING:
    from ..site import Site

_ON_CPU = ("int8",)
"""Of the others ONNX Runtime's CPU provider has no kernels: it computes them in FP32, between casts."""


def _absent(form: str) -> Callable[[Site], str | None]:
    def absent(site: Site) -> str | None:
        if site.model.file(f"model-{form}") is None:
            return f"the bundle has no {form} model"
        if site.device == "cpu" and form not in ("fp32", *_ON_CPU):
            return f"ONNX Runtime's CPU provider computes {form} in FP32, so its time says nothing"
        return provider_absent(site)

    return absent


def _open(form: str) -> Callable[[Site], Runner]:
    def open_(site: Site) -> Runner:
        path = site.model.file(f"model-{form}")
        if path is None:
            raise InputError(f"{site.model.bundle} has no {form} model", "export it with --precision")
        return open_graph(path, site)

    return open_


CONTENDER = Contender("attnexport", "attnexport, ONNX Runtime", _absent("fp32"), _open("fp32"))
TYPED = tuple(
    Contender(
        f"attnexport-{form}",
        f"attnexport {form}, ONNX Runtime",
        _absent(form),
        _open(form),
        precision=in_form(form),
        common=False,
    )
    for form in ("fp16", "bf16", "int8", "fp8")
)
