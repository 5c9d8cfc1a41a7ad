"""Source, inputs and outputs, versions, stages, files and notes of a bundle."""

from . import words
from .content import Content
from .markup import RIGHT, Html, Markup, bar, code, fold, join, section, table, tag


def environment(content: Content) -> Markup:
    """Return the facts of the manifest that no other section shows."""
    manifest = content.own
    source, gpu = manifest.source, manifest.gpu
    facts: list[tuple[str, Html]] = [
        (
            "source",
            join(code(source.file or manifest.name), f" ({', '.join(filter(None, (source.kind, source.arch)))})"),
        ),
        ("sha256", code(source.sha256) if source.sha256 else "–"),
        ("exported", manifest.created.replace("T", " ").replace("+00:00", " UTC")),
        ("task", manifest.task or "not set"),
        ("GPU at export", f"{gpu.name}, compute capability {gpu.compute_capability}" if gpu else "none"),
        *((label, value) for label, value in content.found.facts if label in ("samples", "precision")),
    ]
    for graph in content.graphs:
        facts += [(graph.titled("input"), code(spec.describe())) for spec in graph.manifest.inputs]
        facts += [(graph.titled("output"), code(spec.describe())) for spec in graph.manifest.outputs]
    notes = content.found.notes
    return section(
        "environment",
        "Environment",
        None,
        tag("dl", [join(tag("dt", label), tag("dd", value)) for label, value in facts], class_="facts"),
        tag("h3", "Versions"),
        table([("package", ""), ("version", "")], [[name, code(version)] for name, version in manifest.tools.items()], class_="narrow"),
        fold(f"Stages: {words.seconds(sum(s.seconds for s in manifest.stages))}", _stages(content), printed=True),
        fold(f"Notes: {len(notes)}", tag("ul", [tag("li", note) for note in notes]), printed=True) if notes else None,
        _files(content),
    )  # fmt: skip


def _stages(content: Content) -> Markup:
    most = max((stage.seconds for stage in content.own.stages), default=1.0) or 1.0
    rows: list[list[Html]] = [
        [stage.name, words.seconds(stage.seconds), bar(stage.seconds / most), stage.text]
        for stage in content.own.stages
    ]
    return table([("stage", ""), ("time", RIGHT), ("", ""), ("result", "")], rows)


def _files(content: Content) -> Markup | None:
    rows: list[list[Html]] = []
    for path in sorted(content.folder.rglob("*")):
        name = path.relative_to(content.folder).as_posix()
        # A page cannot contain its own hash.
        if path.is_file() and path.name != "manifest.json" and name != "report.html":
            hashed = code(content.own.files[name].sha256) if name in content.own.files else "in the manifest"
            rows.append([code(name), words.size(path.stat().st_size), hashed])
    if not rows:
        return None
    return fold(f"Files: {len(rows)}", table([("file", ""), ("size", RIGHT), ("sha256", "")], rows))
