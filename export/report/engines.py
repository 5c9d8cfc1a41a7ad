"""The engines: library, shapes, and every layer with its precision and its modules."""

from collections import Counter
from typing import Any

from ...runtime.bundle.sections import EngineRecord
from ...runtime.open.engine_memory import memory_of
from . import words
from .content import Content
from .markup import RIGHT, Html, Markup, code, fold, join, names, section, table, tag

_FROM = {
    "inspector": "the engine inspector", "builder": "the builder’s listing", "network": "the parsed network, before fusion",
}  # fmt: skip
_FLOATS = ("float32", "float16", "bfloat16", "int8", "fp8")


def engines(content: Content) -> Markup | None:
    """Return a block for each engine; None without engines."""
    records = content.manifest.engines
    if not records:
        return None
    lead = f"{words.count(len(records), 'engine')}, built where the model was exported."
    return section("engines", "Engine layers", lead, [_engine(engine) for engine in records])


def _engine(engine: EngineRecord) -> Markup:
    facts: list[tuple[str, Html]] = [
        ("library", f"{words.library(engine.flavour)} {engine.version}"),
        ("precision", engine.precision.upper()),
        ("for", f"compute capability {engine.compute_capability}" if engine.compute_capability else "any GPU that the library supports"),
        ("size", words.size(engine.bytes)),
        ("built in", words.seconds(engine.seconds)),
        ("layers from", _FROM.get(str(engine.detail.get("layers_from")), str(engine.detail.get("layers_from", "–")))),
        ("TF32", "allowed" if engine.detail.get("tf32") else "off"),
        ("profiles", [_profile(i, profile) for i, profile in enumerate(engine.profiles)]),
    ]  # fmt: skip
    if (memory := memory_of(engine)) is not None:
        facts.append(("GPU memory", [tag("div", f"{i}: {line}") for i, line in enumerate(memory.describe(words.size))]))
    counts = Counter(precision(layer) for layer in engine.layers)
    rows: list[list[Html]] = [
        [
            str(i), code(str(layer.get("name", ""))), str(layer.get("type", "")),
            tag("span", words.precision(precision(layer)), class_=f"pill {css(precision(layer))}"),
            [tag("div", code(_output(out))) for out in layer.get("outputs", ())] or "–",
            names([module or "<root>" for module in layer.get("modules", ())]) if layer.get("modules") else "–",
        ]
        for i, layer in enumerate(engine.layers)
    ]  # fmt: skip
    columns = [("", RIGHT), ("layer", ""), ("type", ""), ("precision", ""), ("outputs", ""), ("modules", "")]
    warnings = engine.detail.get("warnings") or ()
    return join(
        tag("h3", code(engine.file)),
        tag("dl", [join(tag("dt", label), tag("dd", value)) for label, value in facts], class_="facts"),
        stack(counts, len(engine.layers), "layer"),
        tag("ul", [tag("li", str(warning)) for warning in warnings], class_="reasons") if warnings else None,
        fold(f"{words.count(len(rows), 'layer')}", table(columns, rows)),
    )


def precision(layer: dict[str, Any]) -> str:
    """Return the least precise float type of a layer's outputs; ``other`` if it has none."""
    dtypes = {str(out.get("dtype")) for out in layer.get("outputs", ())}
    return next((kind for kind in reversed(_FLOATS) if kind in dtypes), "other")


def css(kind: str) -> str:
    """Return the CSS class of a precision."""
    classes = {"float32": "p32", "float16": "p16", "bfloat16": "p16", "int8": "p8", "fp8": "p8", "quantised": "p8"}
    return classes.get(kind, "pother")


def stack(counts: Counter[str], whole: int, thing: str) -> Markup:
    """Draw one bar divided by precision, with its legend."""
    order = [kind for kind in ("float16", "bfloat16", "int8", "fp8", "float32", "cast", "other") if counts.get(kind)]
    pieces = [
        tag("i", class_=css(kind), style=f"width:{100 * counts[kind] / max(1, whole):.2f}%", title=f"{_name(kind)} {counts[kind]}")
        for kind in order
    ]  # fmt: skip
    legend = [
        tag("span", tag("i", class_=css(kind)), f"{_name(kind)} {words.count(counts[kind], thing)}, {words.share(counts[kind], whole)}")
        for kind in order
    ]  # fmt: skip
    return join(tag("div", pieces, class_="stack"), tag("p", legend, class_="legend"))


def _name(kind: str) -> str:
    return {"other": "no floats:", "cast": "casts:"}.get(kind, f"{words.precision(kind)}:")


def _output(out: dict[str, Any]) -> str:
    shape = out.get("shape")
    sizes = "?" if shape is None else "×".join("n" if size == -1 else str(size) for size in shape)
    return f"{sizes} {out.get('dtype', '')}"


def _profile(index: int, profile: dict[str, Any]) -> Markup:
    inputs: list[Markup] = []
    for name, shapes in profile.items():
        points = ", ".join(f"{point} {'×'.join(map(str, shape))}" for point, shape in shapes.items())
        inputs.append(join("; " if inputs else None, code(name), f" {points}"))
    return tag("div", f"{index}: ", inputs)
