"""GPU memory that a bundle's engine takes under profiles of several sizes, as the TensorRT here says while it builds.

    python benchmarks/engine_memory.py NAME.attn ... [--batch 1,4,16,64] [--json FILE]

An engine is built for each largest batch from the bundle's own model, the one that ``attnexport rebuild`` would take, and thrown away.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnexport.export.engine import EngineOptions, Flavour, build_engine, find_flavour
from attnexport.export.engine.memory import engine_memory
from attnexport.export.progress import Silent
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.codec import encode_fields
from attnexport.runtime.show.terminal import size
from attnexport.runtime.spec import Axis, TensorSpec


def at_batch(specs: Sequence[TensorSpec], symbol: str, largest: int) -> list[TensorSpec]:
    """The specs with a profile of 1 to ``largest`` on the axis of this symbol."""

    def axis(old: Axis) -> Axis:
        return Axis(1, largest, largest, symbol) if old.symbol == symbol else old

    return [replace(spec, axes=tuple(map(axis, spec.axes))) for spec in specs]


def measure(bundle: StoredBundle, model: str, largest: int, flavour: Flavour) -> dict[str, Any]:
    """One row: an engine of the model ``model`` for batches of up to ``largest``."""
    manifest = bundle.manifest
    symbol = manifest.inputs[0].axes[0].symbol
    if symbol is None:
        sys.exit(f"{bundle.path} has a fixed batch")
    inputs, outputs = at_batch(manifest.inputs, symbol, largest), at_batch(manifest.outputs, symbol, largest)
    engine = build_engine(bundle.file(model), inputs, flavour, EngineOptions(), {}, Silent())
    memory = engine_memory(engine.needs, engine.profiles, engine.types, outputs)
    if memory is None:
        sys.exit(f"{flavour.title} does not say what an engine takes")
    return {
        "bundle": manifest.name,
        "model": model,
        "library": flavour.title,
        "batch": largest,
        "plan": len(engine.plan),
        **encode_fields(memory),
    }


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--batch", default="1,4,16,64")
    parser.add_argument("--trt", default="auto", choices=("auto", "rtx", "enterprise"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    flavour = find_flavour(options.trt)
    rows = []
    print(
        "| bundle | batch | plan | weights | activations | inputs, outputs | one thread |\n|---|---|---|---|---|---|---|"
    )
    for path in options.bundles:
        bundle = StoredBundle.open(path)
        model = (bundle.with_role("model-fp16") or bundle.with_role("model-fp32"))[0]
        for largest in map(int, options.batch.split(",")):
            row = measure(bundle, model, largest, flavour)
            rows.append(row)
            (profile,) = row["profiles"]
            buffers = profile["inputs"] + profile["outputs"]
            total = row["weights"] + profile["activations"] + profile["persistent"] + buffers
            figures = (row["plan"], row["weights"], profile["activations"] + profile["persistent"], buffers, total)
            print(f"| `{row['bundle']}` | {largest} | {' | '.join(map(size, figures))} |", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
