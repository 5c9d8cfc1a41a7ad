"""Which modules are encoder-decoder networks, and what their two parts take: asked before anything is traced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from ...errors import InputError, first_line
from ...models.seq2seq import END, NEXT, PADDING, START, EncoderDecoder, parts
from ...runtime.bundle.sections import DecodeRecord
from ...runtime.spec import Axis, TensorSpec
from ..options import ExportOptions
from ..source import ModuleSource, Source

ENCODER, STEP = "encoder", "step"
LIMIT = 64
"""Tokens of a decode where neither the network nor its inputs say how many."""
_MEMBERS = ("memory_names", "state_names", "bounds", "encode", "step")


class Sequence2Sequence(Protocol):
    """What makes a module an encoder-decoder network, whoever wrote it: see ``models/seq2seq.py``.

    A module may also have ``longest`` (tokens that it holds at the most), ``start_token``, ``end_token`` and
    ``padding_token``, which are 1, 2 and 0 elsewhere.
    """

    memory_names: tuple[str, ...]
    state_names: tuple[str, ...]
    bounds: Mapping[str, int]

    def encode(self, source: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Source tokens (N, S) -> memory and first state."""

    def step(self, token: torch.Tensor, *encoded: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The last token (N,), memory and state -> logits (N, V), attention (N, S), and the next state."""


@dataclass(frozen=True)
class SequencePlan:
    """The two parts as sources for the ordinary stages, and how a loop drives them."""

    parts: dict[str, ModuleSource]
    facts: DecodeRecord


def is_sequence(source: Source) -> bool:
    """Whether the module that was loaded has the members of an encoder-decoder network."""
    if not isinstance(source, ModuleSource):
        return False
    module = source.module
    return isinstance(module, EncoderDecoder) or all(hasattr(module, member) for member in _MEMBERS)


def check_sequence_options(options: ExportOptions, split: bool) -> None:
    """Raise InputError for options that only encoder and step have, where the export is one graph."""
    given = {"--limit": options.limit is not None, "--beam-width": options.beam_width != 1}
    if not split and any(given.values()):
        option = next(name for name, there in given.items() if there)
        raise InputError(
            f"{option} is about decoding with encoder and step, and this export is one graph",
            "leave it out" if not options.whole else "leave it out, or leave out --whole",
        )


def check_lengths(source: Source) -> None:
    """Hold the inputs' lengths to what the network holds, where it says so (``longest``).

    Raises InputError, before anything is traced: an embedding of places fails deep inside, and at the largest size only.
    """
    longest = getattr(source.module, "longest", None) if isinstance(source, ModuleSource) else None
    if not isinstance(longest, int) or isinstance(longest, bool):
        return
    long = [spec for spec in source.inputs if len(spec.axes) == 2 and spec.axes[1].max > longest]
    if long:
        remedies = [
            f"--dynamic {spec.name}:1=1:{min(spec.axes[1].opt, longest)}:{longest}"
            if spec.axes[1].dynamic
            else f"--input {spec.name} of {longest} tokens at the most"
            for spec in long
        ]
        raise InputError(
            f"input {long[0].name!r} may have {long[0].axes[1].max} tokens and {source.name} holds {longest}",
            f"give {' '.join(remedies)}",
        )


def plan_of(source: ModuleSource, options: ExportOptions) -> SequencePlan:
    """Split a network. Raises InputError for options and inputs that do not fit it, and for a module that is none after all."""
    network: Any = source.module
    if not source.inputs or len(source.inputs[0].axes) != 2 or "int" not in source.inputs[0].dtype:
        raise InputError(
            f"{source.name} is an encoder-decoder network and its first input is no source of tokens (N, S)",
            "give --input source=1xLENGTH:int64:0..VOCABULARY, or --whole for one graph",
        )
    if options.outputs:
        raise InputError(
            f"--output {options.outputs[0]} names an output of one graph, and {source.name} becomes encoder and step",
            "leave it out, or add --whole",
        )
    try:
        found = parts(network, source.inputs[0].to_json())
    except Exception as error:  # a foreign module may fail in any way
        raise InputError(
            f"{source.name} cannot be split into encoder and step: {first_line(error)}",
            "see docs/sequences.md for what encode and step give, or add --whole for one graph",
        ) from error
    facts = DecodeRecord(
        start=getattr(network, "start_token", START),
        end=getattr(network, "end_token", END),
        padding=getattr(network, "padding_token", PADDING),
        limit=_limit(source, options.limit),
        memory=tuple(network.memory_names),
        state={name: f"{NEXT}{name}" for name in network.state_names},
    )
    sources: dict[str, ModuleSource] = {}
    for name, part in zip((ENCODER, STEP), found, strict=True):
        specs = tuple(TensorSpec.from_json(spec) for spec in part.inputs)
        if name == STEP:
            specs = _widened(specs, options.beam_width)
        sources[name] = replace(source, module=part.module, inputs=specs, outputs=part.outputs, task=None, notes=())
    return SequencePlan(sources, facts)


def _limit(source: ModuleSource, wanted: int | None) -> int:
    """Tokens per row: what is asked for, else what the target's axis says, never more than the network holds."""
    longest = getattr(source.module, "longest", None)
    if wanted is not None:
        if longest is not None and wanted > longest:
            raise InputError(
                f"--limit {wanted} is above {longest}, the most tokens that {source.name} holds", "give a lower one"
            )
        return wanted
    target = source.inputs[1].axes[1].max if len(source.inputs) > 1 and len(source.inputs[1].axes) == 2 else LIMIT
    return min(target, longest) if longest is not None else target


def _widened(specs: tuple[TensorSpec, ...], width: int) -> tuple[TensorSpec, ...]:
    """The step's inputs with a batch of ``width`` rows for each that the encoder takes at its most."""
    batch = specs[0].axes[0]
    if width == 1:
        return specs
    if not batch.dynamic:
        raise InputError(
            f"--beam-width {width} needs a batch that is free, and this one is {batch.opt}", "leave out --static"
        )
    wide = Axis(batch.min, batch.opt, batch.max * width, batch.symbol)
    return tuple(replace(spec, axes=(wide, *spec.axes[1:])) for spec in specs)
