"""How large a bundle's report is, how long it takes to write, and to open in a headless Chromium.

python -m attnexport.benchmarks.report NAME.attn ...
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from attnexport.benchmarks.chromium import Browser, find_browser
from attnexport.export.report.page import write_page
from attnexport.runtime.bundle.bundle import StoredBundle

OPENINGS = 9


def main() -> None:
    """Print one line for each bundle."""
    parser = argparse.ArgumentParser(description="Measure the reports of bundles.")
    parser.add_argument("bundles", nargs="+", type=Path)
    program = find_browser()
    if program is None:
        parser.error("no Chromium is here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(program, Path(folder) / "profile")
        for path in parser.parse_args().bundles:
            bundle = StoredBundle.open(path)
            start = time.perf_counter()
            page = write_page(bundle, Path(folder) / "page.html")
            wrote = time.perf_counter() - start
            opened = [browser.open(page) for _ in range(OPENINGS)]
            nodes = {file: sum(counts.values()) for file, counts in bundle.manifest.operators.items()}
            elements = browser.run("document.getElementsByTagName('*').length")
            print(
                f"{path.name}: {', '.join(f'{file} {n} nodes' for file, n in nodes.items())}; {page.stat().st_size / 1e3:.0f} KB, "
                f"{elements} elements; written in {wrote:.1f} s; opened and drawn in {statistics.median(opened):.2f} s, "
                f"at most {max(opened):.2f} s of {OPENINGS}"
            )
        browser.close()


if __name__ == "__main__":
    main()
