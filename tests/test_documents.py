"""What the documents say is so: commands run, links lead somewhere, tables name every rule."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from attnexport.cli import main
from attnexport.export.domain import OPERATORS
from attnexport.export.lower import LOWERINGS
from attnexport.export.raising import RULES

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "README.md"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [text for label, text in fenced if label == language]


def test_the_readmes_commands_run_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = [
        line.split("#")[0].split()
        for block in blocks("")
        for line in block.splitlines()
        if line.startswith("attnexport ")
    ]
    names = [
        "examples/digits_stn_cbam.pt",
        "check",
        "inspect",
        "bench",
        "scan",
        "debug",
        "serve",
        "triton",
        "rebuild",
        "doctor",
        "models",
    ]
    assert [c[1] for c in commands] == names
    for command in commands:
        if command[1] == "serve":
            served_until_told(command[1:])
            continue
        # The figures are not what is tested here: two rounds are enough.
        fewer = ["--rounds", "2", "--no-memory"] if command[1] == "bench" else []
        try:
            main([*command[1:], *fewer])
        except SystemExit as stop:
            assert not stop.code, capfd.readouterr()
    assert (tmp_path / "digits_stn_cbam.attn" / "manifest.json").exists()


def served_until_told(words: list[str]) -> None:
    """A server comes up on ports of its own, says that it is ready, and ends well when it is told to."""
    ports = [word for name in ("http", "grpc", "metrics") for word in (f"--{name}-port", "0")]
    command = [sys.executable, "-m", "attnexport", *words, *ports, "--log-format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        ready = any(json.loads(line)["event"] == "ready" for line in server.stdout)
        server.terminate()
        server.stdout.read()
    assert (ready, server.returncode) == (True, 0)


def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (python,) = blocks("python")
    exec(compile(python, "README.md", "exec"), {"module": nn.Conv2d(3, 8, 3)})
    assert (tmp_path / "net.pt").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    for named in re.findall(r"`((?:export|runtime|models|examples|benchmarks|tests|docs)/[\w./]+)`", text):
        assert "NAME" in named or (ROOT / named).exists(), named  # NAME: a file that the reader adds


def test_every_operator_and_lowering_has_its_row() -> None:
    rewrites = (ROOT / "docs" / "rewrites.md").read_text(encoding="utf-8")
    for lowering in LOWERINGS:
        assert f"| {lowering.op} | `{lowering.name}` |" in rewrites
    for name in OPERATORS:
        assert f"`{name}`" in README


def test_every_raising_rule_has_its_row() -> None:
    rewrites = (ROOT / "docs" / "rewrites.md").read_text(encoding="utf-8")
    for rule in RULES:
        assert f"`{rule.name}`" in rewrites


def test_every_precision_rule_has_its_row() -> None:
    precision = (ROOT / "docs" / "precision.md").read_text(encoding="utf-8")
    for rule in (ROOT / "export" / "precision" / "rules").glob("[!_]*.py"):
        if rule.name != "rule.py":
            assert f"`rules/{rule.name}`" in precision


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_page_names_no_path_of_one_machine(page: Path) -> None:
    assert not re.search(r"(?:^|[\s`(])/(?:home|root|work|tmp|Users)/", page.read_text(encoding="utf-8"))
