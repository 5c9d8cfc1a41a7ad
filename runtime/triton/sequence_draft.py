"""Write an encoder-decoder bundle as three models: an encoder, a decode loop around the step, and their ensemble for clients.

An ensemble names its steps by version. So each version runs the parts that belong together,
whichever versions are loaded or unloaded meanwhile; and since the versions of a model share one
configuration, only the newest is served.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ...errors import InputError
from ..bundle.bundle import StoredBundle
from ..decode.bundle_decoder import ENCODER, STEP, parts_of
from ..spec import Axis, TensorSpec
from .config import Config, ModelTensors, add_parameters, add_tensors, add_version_policy, model_config, schema
from .draft import Draft, draft_model, session_parameters, version_folder, write_config, write_python
from .options import RepositoryOptions
from .sequence_model import BEAM, decode_batch, decode_inputs, decode_outputs
from .warmup import add_warmup

DECODE = "decode"
_PARTS_KEPT = 2
"""Versions of the parts that are served: while one ensemble replaces another, both need their own."""


def names_of(name: str, bundle: StoredBundle) -> tuple[str, ...]:
    """The models that a bundle becomes."""
    return (name,) if not bundle.manifest.parts else (f"{name}_{ENCODER}", f"{name}_{DECODE}", name)


def draft_sequence(
    bundle: StoredBundle, name: str, version: int, staging: Path, options: RepositoryOptions
) -> list[Draft]:
    """Stage the three models, the ensemble last."""
    _, parts = parts_of(bundle)
    encoder_name, decode_name, _ = names_of(name, bundle)
    inside = replace(options, keep=max(options.keep, _PARTS_KEPT) if options.keep else 0, labels=None)
    encoder = draft_model(
        parts[ENCODER], encoder_name, version, staging, inside, role=ENCODER, python_class="EncoderModel"
    )
    decode = _draft_decode(bundle, decode_name, version, staging, inside)
    encoder = replace(encoder, bundle=bundle.path)
    return [encoder, decode, _draft_ensemble(bundle, name, version, staging, (encoder.config, decode.config), options)]


def _draft_decode(bundle: StoredBundle, name: str, version: int, staging: Path, options: RepositoryOptions) -> Draft:
    facts, parts = parts_of(bundle)
    inputs, batch = decode_inputs(parts), decode_batch(parts, options.beam)
    border = ModelTensors.of(_batched(inputs, batch), decode_outputs(facts, batch), options.batch_axis)
    if options.max_batch is not None:
        border = border.capped(min(options.max_batch, batch.max))
    config = model_config(name, "python", border, options)
    add_parameters(config, {**session_parameters(options), BEAM: options.beam})
    folder, into = version_folder(staging, name, version)
    write_python(bundle, name, into, "DecodeModel")
    if options.warmup:
        add_warmup(config, folder, _batched(inputs, batch), [case.feeds for case in parts[STEP].golden()])
    write_config(folder, config)
    how = f"the step, {'greedy' if options.beam == 1 else f'beam of {options.beam}'}, up to {facts.limit} tokens"
    return Draft(name, version, folder, config, bundle.path, DECODE, how)


def _draft_ensemble(
    bundle: StoredBundle,
    name: str,
    version: int,
    staging: Path,
    steps: tuple[Config, Config],
    options: RepositoryOptions,
) -> Draft:
    facts, parts = parts_of(bundle)
    encoder, decode = steps
    batch = decode_batch(parts, options.beam)
    source = parts[ENCODER].manifest.inputs
    most = min(config.max_batch_size for config in steps)
    if not most:
        raise InputError(
            f"encoder and step of {bundle.path} have no batch {options.batch_axis!r} in common",
            f"theirs is {batch.symbol!r}: leave out --batch-axis, or export the bundle again",
        )
    rows = replace(batch, opt=min(batch.opt, most), max=most)
    border = ModelTensors.of(_batched(source, rows), decode_outputs(facts, rows), options.batch_axis)
    config = schema().ModelConfig(name=name, platform="ensemble", max_batch_size=border.max_batch)
    add_tensors(config, border.inputs, border.outputs)
    add_version_policy(config, 1)
    encoding = config.ensemble_scheduling.step.add(model_name=encoder.name, model_version=version)
    for tensor in encoder.input:
        encoding.input_map[tensor.name] = tensor.name
    decoding = config.ensemble_scheduling.step.add(model_name=decode.name, model_version=version)
    for tensor in decode.input:  # under names that neither a source nor a result can have
        encoding.output_map[tensor.name] = decoding.input_map[tensor.name] = f"{ENCODER}.{tensor.name}"
    for tensor in decode.output:
        decoding.output_map[tensor.name] = tensor.name
    folder, into = version_folder(staging, name, version)
    note = f"Version {version}: its steps are in ../config.pbtxt, and Triton asks for a folder.\n"
    (into / "ensemble.txt").write_text(note, encoding="utf-8")
    write_config(folder, config)
    return Draft(name, version, folder, config, bundle.path, "ensemble", f"{encoder.name}, then {decode.name}")


def _batched(specs: Iterable[TensorSpec], batch: Axis) -> list[TensorSpec]:
    """The same tensors with the common batch."""
    return [replace(spec, axes=(batch, *spec.axes[1:])) for spec in specs]
