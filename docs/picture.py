"""Draw docs/run.svg, the picture in the README, from a real run: ``python docs/picture.py`` in the repository's root."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from attnexport import cli
from attnexport.runtime.show import result_text, terminal

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "attnexport digits_stn_cbam.pt --trt --samples digits_samples.npz"


def main() -> None:
    """Run the command in a folder of its own and keep what it shows."""
    recorder = Console(record=True, width=100, file=sys.stderr, highlight=False, soft_wrap=True)
    for module in (terminal, result_text):
        module.__dict__["stdout_console"] = lambda: recorder
    words = COMMAND.split()[1:]
    words = [str(ROOT / "examples" / word) if word.startswith("digits") else word for word in words]
    with TemporaryDirectory() as folder:
        recorder.print(f"$ {COMMAND}", style="bold")
        try:
            os.chdir(folder)
            cli.main(words)
        except SystemExit as stop:
            if stop.code:
                raise
    picture = recorder.export_svg(title="attnexport")
    # The page that shows it should ask nobody for fonts.
    (ROOT / "docs" / "run.svg").write_text(
        re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
