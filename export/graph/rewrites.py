"""The report of one pass over a graph: each rewrite that it applied, and each that it refused."""

from dataclasses import dataclass

import onnx


@dataclass(frozen=True)
class Rewrite:
    """One rewrite that was applied.

    ``rule`` is the rule's name, ``node`` the node that the rewrite replaces or changes, ``detail`` one line about the result.
    """

    rule: str
    node: str
    detail: str = ""


@dataclass(frozen=True)
class Refusal:
    """One rewrite that was refused: ``node`` matches the pattern of ``rule``, and ``reason`` says why it stays."""

    rule: str
    node: str
    reason: str


@dataclass(frozen=True)
class Simplified:
    """The model after a pass, the rewrites that the pass applied, and those that it refused."""

    model: onnx.ModelProto
    applied: tuple[Rewrite, ...] = ()
    refused: tuple[Refusal, ...] = ()
