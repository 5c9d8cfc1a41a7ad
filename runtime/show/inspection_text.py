"""Print what a bundle contains: facts, rewrites with reasons, operators, precisions, engines, parity."""

from rich.console import Console

from .inspect import Inspection
from .result_text import agreement_table, error_lines, verdict_text
from .terminal import FAIL, PASS, inert, plain_table, print_json, size, stdout_console


def show_inspection(inspection: Inspection, *, layers: bool, as_json: bool) -> None:
    """Print the sections of a bundle's manifest; ``layers`` adds every layer of the engines."""
    if as_json:
        print_json(inspection.to_json())
        return
    console = stdout_console()
    facts = plain_table("", "", header=False)
    for what, value in inspection.facts:
        facts.add_row(inert(what), inert(value))
    console.print(facts)
    _show_rewrites(console, inspection)
    _show_graph_rewrites(console, inspection)
    _show_precision(console, inspection)
    counts = plain_table("operator", *map(inert, inspection.models))
    for operator in inspection.operators:
        counts.add_row(inert(operator.op), *map(str, operator.counts))
    console.print("\n[bold]operators[/]", counts, sep="\n")
    _show_engines(console, inspection, layers)
    parity = plain_table(
        "stage", "output", "rms error", "PyTorch's", "ratio", "allowed", "relative", "cosine", "result", "verdict"
    )
    for row in inspection.parity:
        parity.add_row(
            inert(row.stage), inert(row.output), f"{row.rms:.2e}", f"{row.torch_rms:.2e}", f"{row.ratio:.2f}x", f"{row.factor:g}x",
            f"{row.relative:.1e}", f"{row.cosine:.5f}", inert(row.result), verdict_text(row.verdict),
        )  # fmt: skip
    console.print("\n[bold]parity[/]", parity, sep="\n")
    for line in error_lines(inspection.attribution, most=len(inspection.attribution)):
        console.print(inert(line))
    if inspection.decode:
        console.print("\n[bold]decodes[/]", agreement_table(inspection.decode, (PASS, FAIL)), sep="\n")
    for note in inspection.notes:
        console.print(f"note: {inert(note)}")


def _show_rewrites(console: Console, inspection: Inspection) -> None:
    console.print("\n[bold]rewrites[/]")
    if not inspection.rewrites:
        console.print("none: the graph had standard operators only")
    for row in inspection.rewrites:
        what = row.found or row.op
        console.print(
            f"{len(row.nodes)} {inert(what)} -> {inert(row.lowering or 'nothing')}  [dim]in {inert(row.model)}[/]"
        )
        for module in row.modules:
            console.print(f"    in {inert(module)}")
        for name, reason in row.refused:
            refusal = "not recognised as local attention" if name == "recognise" else f"not {inert(name)}"
            console.print(f"    [dim]{refusal}: {inert(reason)}[/]")
        if row.milliseconds:
            times = ", ".join(f"{inert(name)} {milliseconds:.2f} ms" for name, milliseconds in row.milliseconds)
            console.print(f"    [dim]measured: {times}[/]")


def _show_graph_rewrites(console: Console, inspection: Inspection) -> None:
    if inspection.graph_rewrites:
        console.print("\n[bold]rewrites before lowering[/]")
    for row in inspection.graph_rewrites:
        verdict = "applied" if row.applied else f"refused: {inert(row.reason)}"
        console.print(f"{row.stage}: {len(row.nodes)} {inert(row.rule)} {verdict}")
        if not row.applied:
            console.print(f"    [dim]in {inert(', '.join(row.modules))}[/]")


def _show_precision(console: Console, inspection: Inspection) -> None:
    if not inspection.precision_counts:
        return
    counts = ", ".join(f"{count} {inert(what)}" for what, count in inspection.precision_counts.items())
    console.print(f"\n[bold]precision[/] of the 16-bit model: nodes {counts}")
    for row in inspection.kept:
        console.print(f"{len(row.nodes)} in FP32: {inert(row.reason)}")
        console.print(f"    in {inert(', '.join(row.modules))}")


def _show_engines(console: Console, inspection: Inspection, layers: bool) -> None:
    for engine in inspection.engines:
        gpu = (
            f"compute capability {inert(engine.compute_capability)}"
            if engine.compute_capability
            else "any supported GPU"
        )
        console.print(
            f"\n[bold]engine[/] {inert(engine.file)}: {inert(engine.library)}, {inert(engine.precision)}, {gpu}, {size(engine.bytes)}, "
            f"{len(engine.layers)} layers, built in {engine.seconds:.1f} s"
        )
        for i, profile in enumerate(engine.profiles):
            for name, shapes in profile.items():
                points = ", ".join(f"{inert(point)} {'x'.join(map(str, shape))}" for point, shape in shapes.items())
                console.print(f"    profile {i}: {inert(name)} {points}")
        for i, line in enumerate(engine.memory.describe(size) if engine.memory is not None else ()):
            console.print(f"    profile {i}: {line}")
        if layers:
            table = plain_table("layer", "type", "outputs")
            for layer in engine.layers:
                outputs = ", ".join(inert(o.get("dtype", "")) for o in layer.get("outputs", ()))
                table.add_row(inert(str(layer.get("name", ""))), inert(layer.get("type", "")), outputs)
            console.print(table)
    if inspection.engines and not layers:
        console.print("    every layer: add --layers")
