"""The pages of docs/systems say what the code does: a page for every mechanism, names and options that exist, examples that run."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
import typer

from attnexport.cli.run import app
from attnexport.models import registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(p for p in (ROOT / "docs" / "systems").glob("*.md") if p.name != "README.md")
MECHANISMS = [p for p in sorted((ROOT / "models" / "attention").glob("*.py")) if "(nn.Module)" in p.read_text("utf-8")]


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in that language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [text for found, text in fenced if found == language]


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda p: p.stem)
def test_every_mechanism_has_a_page(mechanism: Path) -> None:
    assert any(f"`models/attention/{mechanism.name}`" in page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_networks_of_its_head_and_the_options_that_it_quotes_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`(\w+)`", text.split("\n\n")[1])
    options = {o for name in named for o in inspect.signature(registry.entry(name).builder).parameters}
    for quoted in re.findall(r"`\{(\"\w+\": [^}]*)\}`", text):
        assert set(json.loads(f"{{{quoted}}}")) <= options, quoted


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_its_command_is_one_that_attnexport_takes(page: Path) -> None:
    options = {name for parameter in typer.main.get_command(app).commands["export"].params for name in parameter.opts}
    for block in blocks(page, ""):
        words = shlex.split(block.replace("\\\n", " "))
        assert words[0] == "attnexport"
        with torch.device("meta"):
            registry.build(words[words.index("--arch") + 1], **json.loads(words[words.index("--kwargs") + 1]))
        for word in words:
            assert not word.startswith("--") or word.partition("=")[0] in options, word


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_its_example_runs(page: Path) -> None:
    (example,) = blocks(page, "python")
    exec(compile(example, str(page), "exec"), {})
