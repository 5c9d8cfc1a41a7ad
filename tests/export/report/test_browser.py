"""The report in a real headless Chromium: it opens, shows its numbers, complains of nothing, filters, changes its light, and prints."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from attnexport.benchmarks.chromium import Browser
from attnexport.export.report.page import write_page
from attnexport.runtime.bundle.bundle import StoredBundle


@pytest.fixture
def opened(browser: Browser, bundle: StoredBundle) -> Browser:
    browser.open(bundle.file("report.html"))
    browser.run("localStorage.clear()")
    return browser


def visible(browser: Browser, selector: str) -> int:
    """How many elements of a kind are drawn."""
    drawn = "e => e.checkVisibility({contentVisibilityAuto: true})"
    return int(browser.run(f"[...document.querySelectorAll({selector!r})].filter({drawn}).length"))


def test_it_opens_by_itself_and_the_console_stays_empty(opened: Browser, bundle: StoredBundle) -> None:
    assert opened.requests() == [bundle.file("report.html").resolve().as_uri()]
    assert opened.complaints() == []
    assert opened.run("document.title") == "Net: attnexport report"


def test_verdicts_come_first_with_the_figures_of_the_manifest(opened: Browser, bundle: StoredBundle) -> None:
    sections = opened.run("[...document.querySelectorAll('main section')].map(s => s.id)")
    assert sections == ["verdicts", "errors", "samples", "rewrites", "modules", "operators", "engines", "environment"]
    shown = opened.run("document.querySelector('#verdicts').innerText")
    assert "Holds" in shown and "built, not run" in shown
    rows = opened.run(
        "[...document.querySelectorAll('#verdicts tbody tr')].map(r => [...r.cells].map(c => c.innerText.trim()))"
    )
    measured = [["pass", f"{r.gate.ratio:.2f}×", r.output, r.file] for r in bundle.manifest.parity]
    assert [[row[1], row[2], row[7], row[9]] for row in rows[:-1]] == measured


def test_every_picture_is_drawn_and_nothing_is_wider_than_the_page(opened: Browser) -> None:
    assert opened.run("[...document.images].length") >= 15
    assert opened.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    for width in (1200, 390):
        opened.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        assert opened.run("document.documentElement.scrollWidth") <= width


def test_a_module_called_script_is_text(opened: Browser, nasty: str) -> None:
    assert opened.run("document.scripts.length") == 1
    assert opened.run(f"[...document.querySelectorAll('#modules code')].some(c => c.textContent === {nasty!r})")


def test_the_search_filters_the_rows_of_all_tables_and_opens_what_holds_a_hit(opened: Browser) -> None:
    def search(words: str) -> None:
        opened.run(
            f"(box => {{ box.value = {words!r}; box.dispatchEvent(new Event('input')); }})(document.getElementById('search'))"
        )
        opened.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    before = visible(opened, "tr[data-row]")
    assert visible(opened, "#engines tr[data-row]") == 0
    search("alert Conv_myl0")
    assert opened.run("document.getElementById('hits').textContent") == "1 row"
    assert visible(opened, "tr[data-row]") == visible(opened, "#engines tr[data-row]") == 1
    assert visible(opened, "#nothing") == 0
    search("no such thing")
    assert visible(opened, "tr[data-row]") == 0 and visible(opened, "#nothing") == 1
    search("")
    assert visible(opened, "tr[data-row]") == before and visible(opened, "#engines tr[data-row]") == 0


def test_keys_lead_to_the_search_and_out_of_it(opened: Browser) -> None:
    def press(key: str) -> None:
        opened.run(
            f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{key: {key!r}, bubbles: true}}))"
        )

    press("/")
    assert opened.run("document.activeElement.id") == "search"
    press("Escape")
    assert opened.run("document.activeElement.id") != "search"


GROUND = "getComputedStyle(document.body).backgroundColor"


def test_light_and_dark_follow_the_system_until_the_switch_is_used_and_are_remembered(
    browser: Browser, bundle: StoredBundle
) -> None:
    report = bundle.file("report.html")
    browser.open(report)
    browser.run("localStorage.clear()")
    light = browser.run(GROUND)
    browser.open(report, dark=True)
    dark = browser.run(GROUND)
    assert light == "rgb(255, 255, 255)" and dark != light
    browser.run("document.getElementById('theme').click()")
    assert browser.run(GROUND) == light
    browser.open(report, dark=True)
    assert browser.run(GROUND) == light
    browser.run("localStorage.clear()")
    assert browser.complaints() == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground_in_light_and_dark(browser: Browser, bundle: StoredBundle, dark: bool) -> None:
    """4.5:1 is what WCAG asks of small text."""
    browser.open(bundle.file("report.html"), dark=dark)
    browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    worst = browser.run("""(() => {
      const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
      const read = (colour) => { context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data]; };
      const light = (rgb) => { const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      let worst = [99, ""];
      for (const element of document.querySelectorAll("main *:not(svg *)")) {
        if (![...element.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !element.checkVisibility()) continue;
        if (element.classList.contains("dim")) continue;
        let ground = [0, 0, 0, 0];
        for (let up = element; up && ground[3] < 255; up = up.parentElement) ground = read(getComputedStyle(up).backgroundColor);
        const [a, b] = [light(read(getComputedStyle(element).color).slice(0, 3)), light(ground.slice(0, 3))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 120)];
      }
      return worst;
    })()""")
    assert worst[0] >= 4.5, worst


def test_it_prints_in_light_on_paper_with_short_tables_open(browser: Browser, bundle: StoredBundle) -> None:
    browser.open(bundle.file("report.html"), dark=True)
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF-")
    assert 3 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type /Page/") <= 14
    browser.call(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    assert browser.run(GROUND) == "rgb(255, 255, 255)"
    assert visible(browser, ".top") == 0
    assert zlib.crc32(pdf) and browser.complaints() == []


def test_a_page_that_is_written_again_shows_the_same(opened: Browser, bundle: StoredBundle, tmp_path: Path) -> None:
    read = "[...document.querySelectorAll('main section:not(#environment)')].map(s => s.textContent)"
    sealed = opened.run(read)
    opened.open(write_page(bundle, tmp_path / "again.html"))
    assert opened.run(read) == sealed
    assert opened.complaints() == []
