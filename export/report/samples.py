"""Sample inputs with the outputs of PyTorch and of the export, as pictures, classes, tokens or numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.metrics.psnr import is_image
from ...runtime.spec import TensorSpec
from ..verify.shown import MAX_SAMPLES, GoldenOutputs, VariantOutputs
from . import show_values, words
from .attention import attention
from .content import Content
from .graphs import Graph
from .markup import Content as Html
from .markup import Markup, join, tag
from .runs import pixels, run_here
from .sampled import sampled_images
from .tables import code, fold, section, table

MOST = 2
"""Outputs shown at first; the others are folded."""


def samples(content: Content) -> Markup | None:
    """Return a table for each output of each graph; None for bundles without golden cases."""
    found = [
        (graph, shown)
        for graph in content.graphs
        if (shown := content.ran.get(graph.name) or run_here(graph)) is not None
    ]
    blocks = [_graph(graph, shown) for graph, shown in found]
    if not blocks:
        return None
    first = found[0][1]
    real = first.case.name.startswith("samples")
    what = (
        f"real samples of {content.manifest.samples.source}" if real and content.manifest.samples else "random inputs"
    )
    lead = join(
        f"From golden.npz, {what} (case ", code(first.case.name), "). PyTorch is the original in FP64; the models ran when this page was "
        "written.",
    )  # fmt: skip
    return section("samples", "Samples", lead, blocks)


def _graph(graph: Graph, shown: GoldenOutputs) -> Markup:
    maps = {record.output for record in graph.manifest.attention}
    specs = [spec for spec in graph.manifest.outputs if spec.name not in maps]
    failed = [
        tag("p", f"{words.stage(ran.stage)} did not run here: {ran.failed}", class_="note off")
        for ran in shown.variants
        if ran.failed
    ]
    return join(
        tag("h3", graph.name) if graph.name else None,
        failed,
        [_output(graph, shown, spec, inputs=i == 0) for i, spec in enumerate(specs[:MOST])],
        fold(words.count(len(specs) - MOST, "more output"), [_output(graph, shown, spec, inputs=False) for spec in specs[MOST:]])
        if len(specs) > MOST else None,
        sampled_images(graph),
        attention(graph, shown),
    )  # fmt: skip


def _output(graph: Graph, shown: GoldenOutputs, spec: TensorSpec, *, inputs: bool) -> Markup:
    """A row for each sample: its inputs (only with ``inputs``), PyTorch's output, and that of every variant."""
    forms = [ran for ran in shown.variants if spec.name in ran.outputs]
    given = graph.manifest.inputs if inputs else ()
    columns = [
        *((code_name(one.name), "") for one in given),
        ("PyTorch, FP64", ""),
        *((words.stage(r.stage), "") for r in forms),
    ]
    rows: list[list[Html]] = []
    for index in range(max(1, _count(graph, shown))):
        cells: list[Html] = [_input(graph, shown, one, index) for one in given]
        reference = _sample(graph, spec, shown.case.reference[spec.name], index)
        cells.append(_value(graph, spec, reference, None))
        cells += [_form(graph, shown, spec, ran, reference, index) for ran in forms]
        rows.append(cells)
    title = tag("h3", "output ", code(spec.name)) if len(graph.manifest.outputs) > 1 else None
    return join(title, table(columns, rows, class_="gallery"))


def code_name(name: str) -> str:
    """Return the title of an input's column."""
    return f"input {name}"


def _batch(graph: Graph) -> str | None:
    """The symbol of the batch axis; None if a case is a single sample."""
    first = graph.manifest.inputs[0]
    return first.axes[0].symbol if first.axes else None


def _count(graph: Graph, shown: GoldenOutputs) -> int:
    return min(MAX_SAMPLES, len(shown.case.feeds[graph.manifest.inputs[0].name])) if _batch(graph) is not None else 0


def _sample(graph: Graph, spec: TensorSpec, array: np.ndarray, index: int) -> np.ndarray:
    """One sample of an array; the whole array if it has no batch axis."""
    batched = bool(spec.axes) and spec.axes[0].symbol is not None and spec.axes[0].symbol == _batch(graph)
    return np.asarray(array[index]) if batched else array


def _input(graph: Graph, shown: GoldenOutputs, spec: TensorSpec, index: int) -> Html:
    value = _sample(graph, spec, shown.case.feeds[spec.name], index)
    if is_image(spec):
        return show_values.image(pixels(graph, value if value.ndim == 3 else value[0]))
    return show_values.tokens(value) if value.dtype.kind in "iub" else show_values.numbers(value)


def _form(
    graph: Graph, shown: GoldenOutputs, spec: TensorSpec, ran: VariantOutputs, reference: np.ndarray, index: int
) -> Html:
    got = _sample(graph, spec, ran.outputs[spec.name], index)
    if got.shape != reference.shape:
        return tag("span", f"shape {got.shape} and not {reference.shape}", class_="note off")
    return _value(graph, spec, got, reference)


def _value(graph: Graph, spec: TensorSpec, value: np.ndarray, reference: np.ndarray | None) -> Html:
    """One output of one sample, shown by its task; with a ``reference``, also the difference."""
    task, first = graph.manifest.task, spec is graph.manifest.outputs[0]
    own = value[0] if len(spec.axes) == value.ndim and value.shape[:1] == (1,) and value.ndim > 1 else value
    held = None if reference is None else reference[0] if own is not value else reference
    if task == "classification" and first and own.ndim == 1:
        return show_values.classes(own, held, _class_names(graph))
    if task == "segmentation" and first and own.ndim == 3:
        return show_values.mask(own, held)
    if own.dtype.kind in "iub":
        return show_values.tokens(own, held)
    if task == "sequence" and own.ndim == 2:
        return show_values.tokens(own.argmax(-1), None if held is None else held.argmax(-1))
    if is_image(spec) and own.ndim == 3:
        low, high = (own.min(), own.max()) if held is None else (held.min(), held.max())
        return show_values.image_output(own, float(low), float(high), held)
    if own.ndim >= 2 and min(own.shape[-2:]) > 1:
        return show_values.field(own, held)
    return show_values.numbers(own, held)


def _class_names(graph: Graph) -> list[str]:
    how: dict[str, Any] = graph.manifest.samples.images if graph.manifest.samples is not None else {}
    return [str(name) for name in how.get("classes", ())]
