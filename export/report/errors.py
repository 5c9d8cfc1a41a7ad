"""Error by stage: the error after each stage of the export, beside PyTorch's error at that precision."""

from ...runtime.bundle.attribution import Attribution
from ...runtime.show.result_text import headline
from . import words
from .charts import Dot, stage_chart
from .content import Content
from .markup import RIGHT, Html, Markup, code, fold, join, section, table, tag

MOST = 4
"""Most outputs with a chart; the table has all outputs."""


def errors(content: Content) -> Markup | None:
    """Return a chart for each output with the largest errors, and a table of all outputs."""
    entries = content.manifest.attribution
    if not entries:
        return None
    by_output: dict[str, list[Attribution]] = {}
    for entry in entries:
        by_output.setdefault(entry.output, []).append(entry)
    ranked = sorted(by_output, key=lambda name: -max(s.ratio for e in by_output[name] for s in e.steps or ()))
    charts = [_chart(name, by_output[name], len(by_output) > 1) for name in ranked[:MOST]]
    lead = (
        "Each dot is the export after one stage: its rms error against the original in FP64, relative to the output. The dashes are "
        "PyTorch’s error at that precision; the number is the ratio of the two. "
    )
    if len(ranked) > MOST:
        lead += f"The charts show the {MOST} outputs with the largest errors; the table has all. "
    notes = sorted({note for entry in entries for note in entry.notes})
    return section(
        "errors", "Error by stage", lead, _legend(entries), tag("div", charts, class_="charts" if len(charts) > 1 else None),
        tag("ul", [tag("li", note) for note in notes]) if notes else None,
        fold(f"Figures of {words.count(sum(len(e.steps) for e in entries), 'step')}", _table(entries), printed=len(entries) < 9),
        _metrics(content),
    )  # fmt: skip


def _kind(precision: str) -> str:
    return "first" if precision == "float32" else "second"


def _legend(entries: tuple[Attribution, ...]) -> Markup:
    precisions = dict.fromkeys(step.precision for entry in entries for step in entry.steps)
    marks = [tag("span", tag("i", class_=_kind(p)), f"after a stage, {words.precision(p)}") for p in precisions]
    return tag("p", marks, tag("span", tag("i", class_="own"), "PyTorch’s error"), class_="legend")


def _chart(output: str, entries: list[Attribution], several: bool) -> Markup:
    stages: list[str] = []
    for entry in sorted(entries, key=lambda e: -len(e.steps)):
        stages += [step.stage for step in entry.steps if step.stage not in stages]
    tracks: list[list[Dot]] = []
    for entry in entries:
        dots = []
        for i, step in enumerate(entry.steps):
            torch_error = step.torch_rms / step.figures.reference_rms if step.figures.reference_rms else 0.0
            # A step that changes nothing has no label.
            same = i > 0 and step.precision == entry.steps[i - 1].precision and abs(step.growth) < 0.005
            kind = words.precision(step.precision)
            error = step.figures.relative
            title = f"{step.stage}, {kind}: {words.power(error)}, PyTorch {words.power(torch_error)}, {words.times(step.ratio)}"
            label = "" if same else words.times(step.ratio)
            dots.append(Dot(step.stage, error, torch_error, label, title, _kind(step.precision)))
        tracks.append(dots)
    heading = tag("h3", "output ", code(output)) if several else None
    chart = stage_chart(tracks, stages, f"Error of output {output} by stage", 520 if several else 760)
    return tag("figure", heading, tag("div", chart, class_="wide"))


def _table(entries: tuple[Attribution, ...]) -> Markup:
    columns = [
        ("output", ""), ("variant", ""), ("stage", ""), ("precision", ""), ("relative error", RIGHT), ("largest error", RIGHT),
        ("PyTorch’s error", RIGHT), ("ratio", RIGHT), ("added", RIGHT), ("cosine distance", RIGHT),
    ]  # fmt: skip
    rows: list[list[Html]] = []
    for entry in entries:
        for step in entry.steps:
            figures = step.figures
            rows.append(
                [
                    code(entry.output), words.stage(entry.variant), step.stage, words.precision(step.precision),
                    words.power(figures.relative), words.power(figures.max_abs),
                    words.power(step.torch_rms / figures.reference_rms if figures.reference_rms else 0.0), words.times(step.ratio),
                    f"{step.growth:+.2f}×", words.power(max(0.0, 1 - figures.cosine)),
                ]
            )  # fmt: skip
    cases = ", ".join(entries[0].cases)
    return table(columns, rows, caption=join("Measured on ", code(cases), "."))


def _metrics(content: Content) -> Markup | None:
    rows: list[list[Html]] = []
    for record in content.manifest.parity:
        for name, figures in record.detail.items():
            if name == "parts" or not isinstance(figures, dict):
                continue
            text = ", ".join(f"{key.replace('_', ' ')} {_figure(value)}" for key, value in figures.items())
            rows.append([words.stage(record.stage), code(record.output), name, text])
    if not rows:
        return None
    head = headline(content.manifest.parity[-1].detail)
    title = f"Task figures{f': {head}' if head != '-' else ''}"
    return fold(title, table([("variant", ""), ("output", ""), ("metric", ""), ("figures", "")], rows))


def _figure(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
