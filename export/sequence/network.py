"""Detect encoder-decoder networks and split them into two parts, before tracing."""

from dataclasses import dataclass, replace
from typing import Any

from ...errors import InputError, first_line
from ...models.seq2seq import END, NEXT, PADDING, START, EncoderDecoder, parts
from ...runtime.bundle.sections import DecodeRecord
from ...runtime.spec import Axis, TensorSpec
from ..options import ExportOptions
from ..source import ModuleSource, Source

ENCODER, STEP = "encoder", "step"
LIMIT = 64
"""Default limit of tokens, if neither the network nor its inputs have one."""
_MEMBERS = ("memory_names", "state_names", "bounds", "encode", "step")


@dataclass(frozen=True)
class SequencePlan:
    """The two parts as sources for the stages, and the record of the decode loop."""

    parts: dict[str, ModuleSource]
    facts: DecodeRecord


def is_sequence(source: Source) -> bool:
    """Return whether the loaded module has the members of an encoder-decoder network, see ``models/seq2seq.py``.

    Optional members are ``longest`` (the largest number of tokens), ``start_token`` (default 1), ``end_token`` (2) and
    ``padding_token`` (0).
    """
    if not isinstance(source, ModuleSource):
        return False
    module = source.module
    return isinstance(module, EncoderDecoder) or all(hasattr(module, member) for member in _MEMBERS)


def check_sequence_options(options: ExportOptions, split: bool) -> None:
    """Raise InputError for decode options if the export is one graph."""
    decode_options = {"--limit": options.limit is not None, "--beam-width": options.beam_width != 1}
    if not split and any(decode_options.values()):
        option = next(name for name, is_set in decode_options.items() if is_set)
        raise InputError(
            f"{option} is for decoding with encoder and step, but this export is one graph",
            f"omit {option}" if not options.whole else f"omit {option}, or omit --whole",
        )


def check_lengths(source: Source) -> None:
    """Raise InputError if an input is longer than the network's ``longest``.

    Without this check a positional embedding fails while tracing, and only at the largest size.
    """
    longest = getattr(source.module, "longest", None) if isinstance(source, ModuleSource) else None
    if not isinstance(longest, int) or isinstance(longest, bool):
        return
    long = [spec for spec in source.inputs if len(spec.axes) == 2 and spec.axes[1].max > longest]
    if long:
        remedies = [
            f"--dynamic {spec.name}:1=1:{min(spec.axes[1].opt, longest)}:{longest}"
            if spec.axes[1].dynamic
            else f"--input {spec.name} of at most {longest} tokens"
            for spec in long
        ]
        raise InputError(
            f"input {long[0].name!r} may have {long[0].axes[1].max} tokens, but {source.name} supports {longest}",
            f"pass {' '.join(remedies)}",
        )


def plan_of(source: ModuleSource, options: ExportOptions) -> SequencePlan:
    """Split a network. Raises InputError for options and inputs that do not fit it, and if splitting fails."""
    network: Any = source.module
    if not source.inputs or len(source.inputs[0].axes) != 2 or "int" not in source.inputs[0].dtype:
        raise InputError(
            f"{source.name} is an encoder-decoder network, but its first input is not a source of tokens (N, S)",
            "pass --input source=1xLENGTH:int64:0..VOCABULARY, or --whole for one graph",
        )
    if options.outputs:
        raise InputError(
            f"--output {options.outputs[0]} names an output of one graph, but {source.name} becomes encoder and step",
            "omit --output, or add --whole",
        )
    try:
        halves = parts(network, source.inputs[0].to_json())
    except Exception as error:  # a foreign module may fail in any way
        raise InputError(
            f"{source.name} cannot be split into encoder and step: {first_line(error)}",
            "see docs/sequences.md for the results of encode and step, or add --whole for one graph",
        ) from error
    facts = DecodeRecord(
        start=getattr(network, "start_token", START), end=getattr(network, "end_token", END),
        padding=getattr(network, "padding_token", PADDING), limit=_limit(source, options.limit),
        memory=tuple(network.memory_names), state={name: f"{NEXT}{name}" for name in network.state_names},
    )  # fmt: skip
    sources: dict[str, ModuleSource] = {}
    for name, part in zip((ENCODER, STEP), halves, strict=True):
        specs = tuple(TensorSpec.from_json(spec) for spec in part.inputs)
        if name == STEP:
            specs = _widened(specs, options.beam_width)
        sources[name] = replace(source, module=part.module, inputs=specs, outputs=part.outputs, task=None, notes=())
    return SequencePlan(sources, facts)


def _limit(source: ModuleSource, limit: int | None) -> int:
    """Return ``limit``, else the target's largest length, at most the network's ``longest``."""
    longest = getattr(source.module, "longest", None)
    if limit is not None:
        if longest is not None and limit > longest:
            raise InputError(
                f"--limit {limit} is above {longest}, the most tokens that {source.name} supports", "pass a lower limit"
            )
        return limit
    target = source.inputs[1].axes[1].max if len(source.inputs) > 1 and len(source.inputs[1].axes) == 2 else LIMIT
    return min(target, longest) if longest is not None else target


def _widened(specs: tuple[TensorSpec, ...], width: int) -> tuple[TensorSpec, ...]:
    """Multiply the largest batch of the step's inputs by the width of the beam."""
    batch = specs[0].axes[0]
    if width == 1:
        return specs
    if not batch.dynamic:
        raise InputError(
            f"--beam-width {width} needs a dynamic batch, but the batch is fixed at {batch.opt}", "omit --static"
        )
    wide = Axis(batch.min, batch.opt, batch.max * width, batch.symbol)
    return tuple(replace(spec, axes=(wide, *spec.axes[1:])) for spec in specs)
