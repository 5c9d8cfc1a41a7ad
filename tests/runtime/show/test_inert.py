"""Names from files are inert in the terminal, in HTML, in shell commands; and one function each makes them so."""

import ast
import io
import re
import shlex
import subprocess
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from attnexport.runtime.show.terminal import command_word, inert, plain, stdout_console

ROOT = Path(__file__).resolve().parents[3]
HOSTILE = ["\x1b[2J\x1b]0;title\x07", "[/bogus]", "[red]x[/red]", "[link=file:///etc]x[/link]", "\\[/bogus]", "\\\\[/]", "a\u202eb",
           "\x9b31m", "x\\", "[/]", "\ud800", "a\nnote: forged"]  # fmt: skip


def shown(markup: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        stdout_console().print(markup)
    return out.getvalue().removesuffix("\n")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_as_it_is_without_an_order_to_the_terminal(name: str) -> None:
    assert shown(f"[bold]{inert(name)}[/] end") == f"{plain(name)} end"
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", plain(name))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_a_caller_forgot_is_no_order_either(name: str) -> None:
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", shown(f"[bold]file[/] {name}"))


def test_our_own_markup_still_works() -> None:
    assert shown("[bold]a[/] [dim]b[/] [green]c[/] [bold red]d[/]") == "a b c d"


@pytest.mark.parametrize("name", ["a b", "$(touch pwned)", "a'b", "; rm -rf x", "a\\b", "-n", "*"])
def test_a_command_that_is_shown_can_be_pasted(tmp_path: Path, name: str) -> None:
    command = shown(f"printf %s. {command_word(name)}")
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{name}."
    assert list(tmp_path.iterdir()) == []
    assert shlex.split(command)[2] == name


SHOWING = [*sorted((ROOT / "runtime" / "show").glob("*.py")), ROOT / "export" / "bench" / "table.py"]
MADE_HERE = {
    "agreement_table(inspection.decode, (PASS, FAIL))", "agreement_table(manifest.decode.parity, (PASS, FAIL))",
    "_modules(rows, divergence)", "_result_table(manifest)", "_tensors(divergence, divergence.tensors if tensors else _near(divergence))",
    "FAIL", "bundle", "counts", "difference", "error", "facts", "findings", "growth", "hidden", "i", "line", "mark", "median", "nodes",
    "outputs", "parity", "part", "points", "ratio", "refusal", "relative", "remark", "table", "throughput", "times", "title", "verdict",
    "what", "cosine", "batch", "count", "gpu", "divergence.case", "target", "targets", "result.files", "result.cases",
    "record.equal_rows", "record.rows", "record.equal_tokens", "record.tokens", "row['parameters']", "row['multiply_adds']",
    "row['verdict']", "marks.get(c.status, c.status)", "_WORDS[finding['status']]", "finding['count']", "row.type", "self._stage",
    "record.name", "row.stage", "headline(record.detail, record.agreement)", "number(row.entering)", "number(row.leaving)",
    "number(row.relative)", "number(row.max_abs)", "milliseconds(capacity.median)", "milliseconds(capacity.p95)",
    "verdict_text(row.verdict)", "verdict_text(record.gate.verdict)", "verdicts[0] if record.passed else verdicts[1]",
    "'greedy' if record.width == 1 else f'beam of {record.width}'", "'x'.join(map(str, row.shape)) or 'scalar'",
}  # fmt: skip
"""What is printed without ``inert``: numbers, words of this package, and texts that were made inert where they were put together."""
_SAFE_CALLS = {"inert", "plain", "command_word", "len", "size", "str", "round", "int"}


def _is_safe(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.JoinedStr):
        return all(_is_safe(value) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        formats = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
        numeric = any(isinstance(f, ast.Constant) and str(f.value)[-1:] in "defg%x" for f in formats)
        return numeric or _is_safe(node.value)
    if isinstance(node, ast.IfExp):
        return (_is_safe(node.body) and _is_safe(node.orelse)) or ast.unparse(node) in MADE_HERE
    if isinstance(node, ast.Starred):
        return True  # a row that was put together above
    if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in _SAFE_CALLS:
        return True
    return ast.unparse(node) in MADE_HERE


@pytest.mark.parametrize("path", SHOWING, ids=lambda path: path.name)
def test_nothing_is_printed_otherwise(path: Path) -> None:
    wrong = [
        f"line {argument.lineno}: {ast.unparse(argument)}"
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if call.func.attr in ("print", "add_row")
        for argument in call.args
        if not _is_safe(argument)
    ]
    assert wrong == []


def test_only_these_files_write_to_the_standard_streams() -> None:
    allowed = {
        "cli/bench.py", "cli/limits.py", "cli/run.py", "cli/streams.py", "runtime/show/terminal.py", "runtime/show/result_text.py",
        "runtime/show/divergence_table.py", "runtime/serve/log.py",
    }  # fmt: skip
    found = set()
    for path in (p for room in ("cli", "export", "runtime", "models") for p in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            text = ast.unparse(node.func)
            if text in ("print", "sys.stdout.write", "sys.stderr.write", "traceback.print_exc"):
                found.add(path.relative_to(ROOT).as_posix())
    assert found <= allowed


def test_html_and_protobuf_text_are_made_in_one_place() -> None:
    """HTML by typed, escaped pieces; protobuf text by the library, which quotes."""
    html = {
        p.name
        for p in (ROOT / "export").rglob("*.py")
        if "html.escape" in p.read_text() or "from html import" in p.read_text()
    }
    assert html == {"markup.py"}
    raw = {
        p.name
        for p in (ROOT / "export" / "report").glob("*.py")
        if re.search(r"(?<!def )\braw\(f?[^)]*\{", p.read_text())
    }
    assert raw == set()
    text = {p.name for p in (ROOT / "runtime").rglob("*.py") if "text_format" in p.read_text()}
    assert text == {"config.py"}
