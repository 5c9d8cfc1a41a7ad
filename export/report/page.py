"""Render the page from its sections, with style and script inside, and write it."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from ...errors import InputError
from ...runtime.bundle.bench_report import BenchReport
from ...runtime.bundle.bundle import StoredBundle
from ...runtime.bundle.manifest import Manifest
from ...runtime.bundle.writer import BundleFolder
from ...runtime.files.strangers import refuse_foreign
from ...runtime.files.write import write_file
from ...version import __version__
from ..verify.shown import GoldenOutputs
from . import words
from .content import Content
from .decodes import decodes
from .engines import engines
from .environment import environment
from .errors import errors
from .latency import latency
from .markup import Markup, join, raw, tag
from .modules import modules
from .operators import operators
from .rewrites import rewrites
from .samples import samples
from .verdicts import verdicts

REPORT = "report.html"
"""The page's name in a bundle."""
_SECTIONS = (verdicts, errors, latency, decodes, samples, rewrites, modules, operators, engines, environment)
_TITLES = {
    "verdicts": "Verdicts", "errors": "Error", "latency": "Latency", "decodes": "Decodes", "samples": "Samples", "rewrites": "Rewrites",
    "modules": "Modules", "operators": "Operators", "engines": "Engines", "environment": "Environment",
}  # fmt: skip
_WRITER = "attnexport "
"""What begins the name of the program in a page."""
# The page may not fetch anything, even if a name in a model contains markup.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def render(
    folder: Path,
    manifest: Manifest,
    parts: Mapping[str, Manifest],
    bench: BenchReport | None = None,
    ran: Mapping[str, GoldenOutputs] | None = None,
) -> str:
    """Return the page of a bundle in ``folder``, which may be incomplete.

    ``parts``: the manifests of a bundle's parts, by name. ``ran``: outputs of a golden case, by part;
    models of other parts run here, and the page reports those that fail.
    """
    content = Content(folder, manifest, parts, bench, ran or {})
    shown = {section.__name__: made for section in _SECTIONS if (made := section(content)) is not None}
    links = [tag("a", _TITLES[name], href=f"#{name}") for name in shown]
    source = manifest.source
    origin = f"exported from {source.file or source.arch or manifest.name} ({source.kind}), {manifest.created[:10]}"
    page = join(
        raw("<!doctype html>\n"),
        tag(
            "html",
            tag(
                "head",
                tag("meta", charset="utf-8"),
                tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
                tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
                tag("meta", name="color-scheme", content="light dark"),
                tag("meta", name="generator", content=f"{_WRITER}{__version__}"),
                tag("title", f"{manifest.name}: attnexport report"),
                tag("style", raw(_package_file("page.css"))),
            ),
            tag(
                "body",
                tag("header", tag("nav", links, aria_label="Sections"), tag("div", _search(), class_="tools"), class_="top"),
                tag(
                    "main",
                    tag("div", tag("h1", manifest.name), tag("p", origin, class_="by"), class_="title"),
                    shown.values(),
                    tag("p", "Nothing on this page matches.", class_="nothing", hidden=True, id="nothing"),
                ),
                tag("footer", tag("p", f"attnexport {__version__}")),
                tag("script", raw(_package_file("page.js"))),
            ),
            lang="en",
        ),
    )  # fmt: skip
    return str(page)


def add_page(
    folder: BundleFolder, manifest: Manifest, parts: Mapping[str, Manifest], ran: Mapping[str, GoldenOutputs]
) -> str:
    """Write the page into a bundle that is being built; return its name and size."""
    page = render(folder.path, manifest, parts, ran=ran).encode()
    (folder.path / REPORT).write_bytes(page)
    folder.add(REPORT, "report")
    return f"{REPORT}, {words.size(len(page))}"


def write_page(bundle: StoredBundle, out: Path | None, bench: BenchReport | None = None) -> Path:
    """Write the page of a finished bundle outside of the bundle, which is sealed; by default ``NAME.html`` for NAME.attn, here.

    A file of that default name which is not such a page is never replaced. Raise InputError for one, if ``out`` is inside
    the bundle or its folder does not exist, or for a benchmark of another model.
    """
    bundle.verify_files()
    if out is None:
        out = Path(f"{bundle.path.resolve().stem}.html")
        refuse_foreign(out, _WRITER.encode())
    if out.resolve().is_relative_to(bundle.path.resolve()):
        raise InputError(f"--out {out} lies in the bundle, which is sealed", "write the page beside it")
    if not out.resolve().parent.is_dir() or out.is_dir():
        raise InputError(f"--out {out} is not a file that can be written", "give a file such as report.html")
    if bench is not None:
        _same_model(bundle, bench)
    parts = {name: bundle.part(name).manifest for name in bundle.manifest.parts}
    write_file(out, render(bundle.path, bundle.manifest, parts, bench))
    return out


def _same_model(bundle: StoredBundle, bench: BenchReport) -> None:
    known = {record.sha256 for record in bundle.manifest.files.values()}
    for name in bundle.manifest.parts:
        known |= {record.sha256 for record in bundle.part(name).manifest.files.values()}
    if bench.model_sha256 not in known:
        raise InputError(
            f"the benchmark is of a model with sha256 {bench.model_sha256[:12]}…, which {bundle.path} does not hold",
            "measure this bundle with attnexport bench --json",
        )


def _search() -> Markup:
    field = tag(
        "input", type="search", id="search", placeholder="Filter rows", aria_label="Filter the rows of all tables"
    )
    switch = tag("button", "Theme", type="button", id="theme", title="light or dark", aria_label="Light or dark")
    return join(field, tag("span", id="hits", aria_live="polite"), switch)


@cache
def _package_file(name: str) -> str:
    """Return the text of a file of this package."""
    return files(__package__ or "").joinpath(name).read_text(encoding="utf-8")
