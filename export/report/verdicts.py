"""The top of the page: the verdict and the main figures."""

from collections.abc import Iterator

from ...runtime.bundle.bench_report import BenchReport
from ...runtime.bundle.figures import ParityRecord
from ...runtime.bundle.sections import EngineRecord
from ...runtime.show.result_text import headline
from ..verify.shown import ENGINE_PREFIX
from . import words
from .content import Content
from .latency import is_own
from .markup import RIGHT, Html, Markup, code, fold, join, section, table, tag


def verdicts(content: Content) -> Markup:
    """Return the verdict in one sentence, the main figures, and a row for each output of each variant."""
    passed, sentence = _verdict(content)
    mark = tag("span", "Holds" if passed else "Does not hold", class_=f"verdict {'good' if passed else 'bad'}")
    cards = tag("div", [_card(*card) for card in _cards(content)], class_="cards")
    return section("verdicts", "Verdicts", join(mark, " ", sentence), cards, _blame(content), _rows(content))


def _verdict(content: Content) -> tuple[bool, str]:
    records, decodes = content.manifest.parity, content.found.decode
    failed = [r for r in records if not r.gate.passed]
    wrong = [d for d in decodes if not d.passed]
    if failed or wrong:
        said = [f"{words.stage(r.stage)}, output {r.output!r}: {words.times(r.gate.ratio)}" for r in failed[:3]]
        said += [f"decodes by {words.stage(d.stage)} leave the original's" for d in wrong[:3]]
        return False, "; ".join(said) + f". {_allowed(records)}"
    if not records:
        return False, "Nothing was measured."
    if unstable := [r for r in records if r.gate.unstable]:
        worst = max(unstable, key=lambda r: r.gate.torch_relative)
        return False, (
            f"Unstable: PyTorch\u2019s {words.precision(worst.precision)} error of output {worst.output!r} is "
            f"{words.power(worst.gate.torch_relative)} of the output\u2019s rms, too large to judge an export."
        )
    worst = max(records, key=lambda r: r.gate.ratio)
    forms = len({(r.stage, r.file) for r in records})
    return True, (
        f"{words.count(forms, 'form')} of the model, {words.count(len(content.manifest.outputs), 'output')}: at worst "
        f"{words.times(worst.gate.ratio)} PyTorch\u2019s rounding error. {_allowed(records)}"
    )


def _allowed(records: tuple[ParityRecord, ...]) -> str:
    factors = sorted({r.gate.factor for r in records})
    return f"Allowed: {' or '.join(f'{factor:g}×' for factor in factors)}." if factors else ""


def _card(title: str, figure: Html, note: Html) -> Markup:
    return tag("div", tag("h3", title), tag("p", figure, class_="figure"), tag("p", note), class_="card")


def _cards(content: Content) -> Iterator[tuple[str, Html, Html]]:
    if records := content.manifest.parity:
        worst = max(records, key=lambda r: r.gate.ratio)
        yield "Worst error", words.times(worst.gate.ratio), f"of PyTorch’s error, {words.precision(worst.precision)}"
        typed = [r for r in records if headline(r.detail) != "-"]
        typed = [r for r in typed if r.output == typed[0].output]
        if typed:
            task = headline(typed[-1].detail)
            label, _, figure = task.rpartition(" ")
            note = f"as PyTorch, {words.stage(typed[-1].stage)}"
            title = {"top-1": "Same class", "IoU": "Same mask", "tokens": "Same tokens"}.get(label)
            yield ("Signal to error", task, note) if title is None else (title, figure, note)
    counts = content.found.precision_counts
    low = {name: n for name, n in counts.items() if name not in ("float32", "casts", "quantised")}
    if low:
        name, nodes = next(iter(low.items()))
        total = nodes + counts.get("float32", 0)
        eight = f"{words.count(counts['quantised'], 'layer')} in 8 bits; " if counts.get("quantised") else ""
        kept = f"{eight}{counts.get('float32', 0)} kept in FP32, {words.count(counts.get('casts', 0), 'cast')}"
        yield f"In {words.precision(name)}", f"{nodes} of {total}", f"nodes; {kept}"
    models = {name: content.sizes[name] for name in content.manifest.operators if name in content.sizes}
    if models:
        full = sum(size for name, size in models.items() if name.endswith("model.onnx"))
        rest = sum(size for name, size in models.items() if not name.endswith("model.onnx"))
        yield "Model file", words.size(rest or full), f"FP32: {words.size(full)}" if rest else "weights and graph, FP32"
    for engine in content.manifest.engines[:1]:
        version = f"{words.library(engine.flavour)} {'.'.join(engine.version.split('.')[:3])}"
        yield "Engine", words.size(engine.bytes), f"{version}, {words.count(len(engine.layers), 'layer')}"
    if content.bench is not None:
        yield from _fastest(content.bench)


def _fastest(bench: BenchReport) -> Iterator[tuple[str, Html, Html]]:
    """Yield the best ratio to the baseline among the bundle's own forms, if there is one."""
    ratios = [
        (timing.ratio.value, timing.contender, point.batch)
        for point in bench.points
        for timing in point.timings
        if timing.ratio is not None and is_own(bench, timing)
    ]
    if ratios and bench.settings.baseline is not None:
        ratio, name, batch = max(ratios, key=lambda entry: entry[0])
        title, baseline = bench.entrant(name).title, bench.entrant(bench.settings.baseline).title
        yield "Speed", f"{ratio:.2f}×", f"{title} to {baseline}, batch {batch}"


def _blame(content: Content) -> Markup | None:
    items = [
        tag(
            "li",
            code(entry.output),
            f" of {words.stage(entry.variant)}: the error comes in at ",
            entry.blame.describe(),
        )
        for entry in content.manifest.attribution
        if entry.blame is not None
    ]
    return tag("ul", items, class_="blame") if items else None


_COLUMNS = (
    ("form", "keep"), ("verdict", "keep"), ("error", RIGHT), ("allowed", ""), ("relative", RIGHT), ("cosine", RIGHT), ("task", RIGHT),
    ("output", ""), ("size", RIGHT), ("file", ""),
)  # fmt: skip
_PILLS = {"pass": "good", "unstable": "wait", "fail": "bad"}
FEW = 12
"""Most rows shown at first; above, each variant shows its worst output, and the others are folded."""


def _rows(content: Content) -> Markup:
    records = content.manifest.parity
    forms: dict[tuple[str, str], list[ParityRecord]] = {}
    for record in records:
        forms.setdefault((record.stage, record.file), []).append(record)
    built = [_built(engine) for engine in content.manifest.engines if engine.file not in {r.file for r in records}]
    note = (
        "Error: rms against the original module in FP64, over all verified inputs, as a multiple of the error that PyTorch itself makes at "
        "that precision."
    )
    if len(records) <= FEW:
        return table(_COLUMNS, [*(_row(content, record) for record in records), *built], caption=note)
    worst = [
        _row(content, max(some, key=lambda r: (not r.gate.passed, r.gate.ratio)), len(some)) for some in forms.values()
    ]
    return join(
        table(_COLUMNS, [*worst, *built], caption=f"{note} Each form with its worst output."),
        fold(f"All {len(records)} rows", table(_COLUMNS, [_row(content, record) for record in records])),
    )


def _row(content: Content, record: ParityRecord, of: int = 1) -> list[Html]:
    gate, task = record.gate, headline(record.detail, record.agreement)
    return [
        words.stage(record.stage),
        tag("span", gate.verdict, class_=f"pill {_PILLS[gate.verdict]}"),
        words.times(gate.ratio),
        _gauge(gate.ratio, gate.factor, gate.passed),
        words.power(gate.relative),
        f"{gate.cosine:.6f}",
        "–" if task == "-" else task,
        join(code(record.output), tag("small", f" worst of {of}") if of > 1 else None),
        words.size(content.sizes[record.file]) if record.file in content.sizes else "–",
        code(record.file),
    ]


def _built(engine: EngineRecord) -> list[Html]:
    mark = tag("span", "built, not run", class_="pill wait", title="no GPU was there when it was exported")
    form = words.stage(f"{ENGINE_PREFIX}{engine.precision}")
    return [form, mark, "–", "–", "–", "–", "–", "–", words.size(engine.bytes), code(engine.file)]


def _gauge(ratio: float, factor: float, passed: bool) -> Markup:
    share = min(ratio / factor, 1.0) if ratio == ratio else 1.0
    fill = tag("i", class_="good" if passed else "bad", style=f"width:{100 * share:.1f}%")
    return tag("span", tag("span", fill, class_="bar"), f" {factor:g}×", class_="gauge")
