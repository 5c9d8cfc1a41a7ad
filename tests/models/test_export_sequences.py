"""Every named sequence network as a bundle of encoder and step, with both engines, that decodes as the original does.

The default run takes the Transformer, whose lengths are free; ``make sweep`` takes them all.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from attnexport.export.options import ExportOptions
from attnexport.export.pipeline import run
from attnexport.export.source import checkpoint
from attnexport.models import registry
from attnexport.models.seq2seq import EncoderDecoder
from attnexport.runtime.check.check import check
from attnexport.runtime.decode import open_decoder


def sequence_networks() -> list[str]:
    """The names whose network has an encoder and a step."""
    found = []
    for name in registry.names():
        with torch.device("meta"):
            module = registry.build(name, **registry.entry(name).reduced_options)
        if isinstance(module, EncoderDecoder):
            found.append(name)
    return found


NAMES = [name for name in registry.names() if name.startswith(("seq2seq_", "transformer_"))]


def test_the_list_is_complete() -> None:
    assert sequence_networks() == NAMES


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "transformer_base" else [pytest.mark.sweep]) for n in NAMES]
)
def test_a_reduced_sequence_network_decodes_from_its_bundle(name: str, tmp_path: Path) -> None:
    entry = registry.entry(name)
    torch.manual_seed(4)
    network = registry.build(name, **entry.reduced_options)
    if not name.endswith("local_p"):  # whose window has edges: with large weights one rounding moves a place across
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(2)  # spread the logits, so that sources matter and few choices are ties
    inputs = entry.reduced_inputs or entry.inputs
    model = checkpoint.save(network, tmp_path / f"{name}.pt", inputs=inputs, outputs=entry.outputs)
    made = run(ExportOptions(model=model, out=tmp_path / f"{name}.attn", trt="rtx", beam_width=2))
    assert made.passed
    assert made.bundle is not None
    facts = made.manifest.decode
    assert facts is not None
    greedy = {record.stage: record for record in facts.parity if record.width == 1}
    assert {"onnx-fp32", "onnx-fp16", "emulated-fp16"} <= set(greedy)
    assert greedy["onnx-fp32"].equal_rows == greedy["onnx-fp32"].rows >= 24
    assert all(record.passed and record.equal_rows >= 0.8 * record.rows for record in facts.parity)
    for part, most in (("encoder", 16), ("step", 32)):
        manifest = made.parts[part]
        assert {spec.axes[0].max for spec in manifest.inputs} == {most}
        assert all(record.gate.passed for record in manifest.parity)
        (engine,) = manifest.engines
        assert engine.profiles[0][manifest.inputs[0].name]["max"][0] == most
        assert (made.bundle / part / engine.file).stat().st_size == engine.bytes > 10_000
    assert check(made.bundle).passed
    with open_decoder(made.bundle, precision="fp32") as decoder:
        source = decoder.padded([[5, 8, 12], [7], [9, 9, 4, 4]] * 9)
        found = decoder.greedy(source)
        assert len({h.tokens for h in found}) > 1
        assert [h.tokens for h in found] == [h.tokens for h in found[:3]] * 9
        assert [row[0].finished for row in decoder.beam_search(source[:3], width=32)]
