"""What every contender is: a name, why it may not be able to run, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from ..site import Site

Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Call:
    """A contender bound to one set of inputs, which are where it computes (on the GPU's memory for a GPU).

    ``run`` is what is timed: on the CPU it returns when the result is there, on a GPU it puts its work on the site's
    stream. ``outputs`` runs once and gives the result as host arrays by name.
    """

    run: Callable[[], object]
    outputs: Callable[[], dict[str, np.ndarray]]


class Runner(Protocol):
    """An opened contender. ``notes``: what a reader of its times should know."""

    notes: tuple[str, ...]

    def call(self, feeds: Feeds) -> Call:
        """Bind inputs; whatever is made for a shape alone, as code by torch.compile, is made here."""

    def close(self) -> None:
        """Free what it holds."""


def nothing(_: Site, __: Sequence[Feeds]) -> None:
    """A contender that needs no files of its own."""


PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8", "fp8": "float8"}
"""What outputs are held to, by a model's or an engine's form."""


def in_form(form: str) -> Callable[[Site], str]:
    """The precision of a contender of one form."""
    return lambda _: PRECISIONS[form]


IN_FP32 = in_form("fp32")


@dataclass(frozen=True)
class Contender:
    """One way to run the model.

    ``absent`` gives the reason why it cannot run at a site, None where it can. ``prepare`` writes what it needs for these
    inputs into the subject's folder, once, before any process opens it. ``common``: it is named among the absent even if
    nobody asked for it. ``precision``: what its outputs are held to. ``runs_module``: a process that runs it makes the original anew.
    """

    name: str
    title: str
    absent: Callable[[Site], str | None]
    open: Callable[[Site], Runner]
    prepare: Callable[[Site, Sequence[Feeds]], None] = nothing
    precision: Callable[[Site], str] = IN_FP32
    common: bool = True
    runs_module: bool = False


def needs_original(site: Site) -> str | None:
    """Why there is no PyTorch module, None where there is one."""
    if site.model.original is None:
        return site.model.missing
    if site.model.original.graph is not None:
        return "the model came as an ONNX graph, and there is no PyTorch module"
    return None


def installed(package: str, remedy: str) -> str | None:
    """Why a package cannot be used, None where it is installed."""
    import importlib.util

    return None if importlib.util.find_spec(package) is not None else f"{package} is not installed: {remedy}"
