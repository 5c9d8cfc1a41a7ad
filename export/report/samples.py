"""Sample inputs with the outputs of PyTorch and of the export, as pictures, classes, tokens or numbers."""

from contextlib import closing
from typing import Any

import numpy as np

from ...errors import AttnexportError, BundleError
from ...runtime.bundle.golden import read_golden
from ...runtime.bundle.sections import TRUTH
from ...runtime.inputs.samples import UnreadableError, read_npz
from ...runtime.metrics import is_image
from ...runtime.sessions.open import open_session
from ...runtime.spec import TensorSpec
from ..verify.sampled import FILE, INPUT
from ..verify.shown import GOLDEN, MAX_SAMPLES, GoldenOutputs, VariantOutputs, choose_case, cpu_stages, run_variant
from . import show_values, words
from .attention import attention
from .content import Content, Graph, pixels
from .markup import Html, Markup, code, fold, join, section, table, tag

MOST = 2
"""Outputs shown at first; the others are folded."""


def samples(content: Content) -> Markup | None:
    """Return a table for each output of each graph; None for bundles without golden cases."""
    outputs = [(graph, content.ran.get(graph.name) or run_here(graph)) for graph in content.graphs]
    shown = [(graph, golden) for graph, golden in outputs if golden is not None]
    if not shown:
        return None
    case, record = shown[0][1].case.name, content.manifest.samples
    inputs = f"real samples of {record.source}" if record and case.startswith("samples") else "random inputs"
    lead = join(
        f"From golden.npz, {inputs} (case ", code(case), "). PyTorch is the original in FP64; the models ran when this page was written."
    )  # fmt: skip
    return section("samples", "Samples", lead, [_graph(graph, golden) for graph, golden in shown])


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
    titles = [*(f"input {i.name}" for i in given), "PyTorch, FP64", *(words.stage(ran.stage) for ran in forms)]
    rows: list[list[Html]] = []
    for index in range(max(1, _count(graph, shown))):
        reference = _sample(graph, spec, shown.case.reference[spec.name], index)
        cells = [_form(graph, spec, ran, reference, index) for ran in forms]
        rows.append([*(_input(graph, shown, i, index) for i in given), _value(graph, spec, reference, None), *cells])
    title = tag("h3", "output ", code(spec.name)) if len(graph.manifest.outputs) > 1 else None
    return join(title, table([(title, "") for title in titles], rows, class_="gallery"))


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


def _form(graph: Graph, spec: TensorSpec, ran: VariantOutputs, reference: np.ndarray, index: int) -> Html:
    output = _sample(graph, spec, ran.outputs[spec.name], index)
    if output.shape != reference.shape:
        return tag("span", f"shape {output.shape} and not {reference.shape}", class_="note off")
    return _value(graph, spec, output, reference)


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


def run_here(graph: Graph) -> GoldenOutputs | None:
    """Run a graph's models. Return None without golden cases; raise BundleError for a damaged file."""
    path = graph.folder / GOLDEN
    if not path.is_file():
        return None
    case = choose_case(read_golden(path))
    dtypes = {spec.name: spec.dtype for spec in graph.manifest.outputs}
    files = {record.stage: record.file for record in graph.manifest.parity}
    found = []
    for stage in cpu_stages(files):
        backend = "emulated" if stage.startswith("emulated") else "onnxruntime"
        try:
            with closing(open_session(graph.folder / files[stage], backend, dtypes, spin=False)) as session:
                found.append(run_variant(stage, session, case))
        except AttnexportError as error:
            found.append(VariantOutputs(stage, {}, error.problem))
    return GoldenOutputs(case, tuple(found))


def sampled_images(graph: Graph) -> Markup | None:
    """Return a table for each spatial transformer: the images that it samples in PyTorch and in the export, from ``report.npz``.

    The file has ``input``, the input images (N, 1 or 3, H, W), and for each variant ``<variant>/<module>``, the output of
    the module's grid_sample; variant ``truth`` is PyTorch in FP64. None without the file; BundleError if it is damaged.
    """
    path = graph.folder / FILE
    if not path.is_file():
        return None
    try:
        arrays = read_npz(path)
    except UnreadableError as error:
        raise BundleError(f"{path} cannot be read ({error})", "copy the whole bundle again") from error
    modules: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        form, slash, module = key.partition("/")
        if slash and array.ndim == 4 and array.shape[1] in (1, 3):
            modules.setdefault(module, {})[form] = array
    given = arrays.get(INPUT)
    return join([_module(graph, module, forms, given) for module, forms in modules.items() if TRUTH in forms])


def _module(graph: Graph, module: str, forms: dict[str, np.ndarray], given: np.ndarray | None) -> Markup:
    reference = forms.pop(TRUTH)
    titles = [*(("input",) if given is not None else ()), "PyTorch, FP64", *map(words.stage, forms)]
    rows: list[list[Html]] = []
    for i, image in enumerate(reference):
        low, high = float(image.min()), float(image.max())
        cells: list[Html] = [show_values.image(pixels(graph, given[i]))] if given is not None else []
        cells.append(show_values.image_output(image, low, high, None))
        cells += [show_values.image_output(array[i], low, high, image) for array in forms.values()]
        rows.append(cells)
    pictures = table([(title, "") for title in titles], rows, class_="gallery")
    return join(tag("h3", "Sampled by ", code(module or "<root>")), pictures)
