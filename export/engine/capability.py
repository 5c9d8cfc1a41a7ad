"""The GPUs that an RTX engine is built for: ``8.6`` to ``ComputeCapability.SM86``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import EngineError, InputError
from .flavour import Flavour

CURRENT = "current"


def known_capabilities(trt: Any) -> dict[str, Any]:
    """The capabilities that this RTX supports, by the user's names: ``{"7.5": SM75, ..., "12.1": SM121, "current": CURRENT}``."""
    members = trt.ComputeCapability.__members__
    sized = sorted((int(name[2:]), member) for name, member in members.items() if name.startswith("SM"))
    known = {f"{number // 10}.{number % 10}": member for number, member in sized}
    return {**known, CURRENT: members["CURRENT"]}


def set_capabilities(config: Any, flavour: Flavour, names: Sequence[str]) -> tuple[str, ...]:
    """Set the capabilities on ``config``. Without any, the engine runs on every GPU that RTX supports.

    Returns them without duplicates. Raises InputError if this TensorRT does not support one, or if ``current`` has company.
    """
    names = tuple(dict.fromkeys(name.strip().lower() for name in names))
    if not names:
        return ()
    if not flavour.has_compute_capabilities:
        raise InputError(
            f"{flavour.title} builds for the GPU of this machine, not for compute capability {', '.join(names)}",
            "leave it out, or build with --trt=rtx",
        )
    known = known_capabilities(flavour.module)
    if unknown := [name for name in names if name not in known]:
        raise InputError(
            f"{flavour.title} does not build for compute capability {unknown[0]!r}", f"it takes {', '.join(known)}"
        )
    if CURRENT in names and len(names) > 1:
        raise InputError(
            f"compute capability 'current' does not go with others ({', '.join(names)})", "pass one or the other"
        )
    config.num_compute_capabilities = len(names)
    for index, name in enumerate(names):
        if not config.set_compute_capability(known[name], index):
            raise EngineError(f"{flavour.title} refuses compute capability {name}")
    return names


FP8_SINCE = (8, 9)
"""The first compute capability with FP8 products (Ada)."""


def refuse_engine(precision: str, flavour: Flavour | None, capabilities: Sequence[str]) -> None:
    """Raise InputError if a requested compute capability has no FP8, before a model is read."""
    if precision != "fp8" or flavour is None:
        return
    for name in capabilities:
        major, _, minor = name.strip().partition(".")
        if major.isdigit() and minor.isdigit() and (int(major), int(minor)) < FP8_SINCE:
            raise InputError(
                f"compute capability {name.strip()} has no FP8 products", "name 8.9 or later, or use --precision int8"
            )
