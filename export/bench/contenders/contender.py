"""The interface of a contender."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from ..site import Site

Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Call:
    """A contender bound to one set of inputs, in the memory of its device.

    ``run`` is timed: on the CPU it returns when the result is available, on a GPU it adds its work to the site's stream.
    ``outputs`` runs once and returns the outputs by name, in host memory.
    """

    run: Callable[[], object]
    outputs: Callable[[], dict[str, np.ndarray]]


class Runner(Protocol):
    """An opened contender. ``notes``: facts that change the meaning of its times."""

    notes: tuple[str, ...] = ()

    def call(self, feeds: Feeds) -> Call:
        """Bind inputs, and do the work for their shapes, such as compiling."""

    def close(self) -> None:
        """Free its resources, if it has any."""


def nothing(_: "Site", __: Sequence[Feeds]) -> None:
    """Prepare a contender that needs no files."""


PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8", "fp8": "float8"}
"""The precision of the limit on the outputs, by type of a model or an engine."""


def fixed_precision(model_type: str) -> "Callable[[Site], str]":
    """Return the precision of a contender with one type at every site."""
    return lambda _: PRECISIONS[model_type]


FP32 = fixed_precision("fp32")


@dataclass(frozen=True)
class Contender:
    """One way to run the model.

    ``absent`` returns the reason why it cannot run at a site, None if it can. ``prepare`` writes its files for these inputs
    into the model's folder, once, before any process opens it. ``common``: it is reported as absent even if it was not
    named. ``precision``: the precision of the limit on its outputs. ``runs_module``: it needs the original in its process.
    """

    name: str
    title: str
    absent: "Callable[[Site], str | None]"
    open: "Callable[[Site], Runner]"
    prepare: "Callable[[Site, Sequence[Feeds]], None]" = nothing
    precision: "Callable[[Site], str]" = FP32
    common: bool = True
    runs_module: bool = False


def needs_original(site: "Site") -> str | None:
    """Return why there is no PyTorch module, None if there is one."""
    if site.model.original is None:
        return site.model.missing
    if site.model.original.graph is not None:
        return "the model is an ONNX graph without a PyTorch module"
    return None


def installed(package: str, remedy: str) -> str | None:
    """Return why a package cannot be used, None if it is installed."""
    import importlib.util

    return None if importlib.util.find_spec(package) is not None else f"{package} is not installed: {remedy}"
