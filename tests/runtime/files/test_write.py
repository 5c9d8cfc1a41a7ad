"""A file appears whole or not at all, and one place of the package writes files."""

import ast
import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from attnexport.runtime.files.write import new_file, write_file

ROOT = Path(__file__).resolve().parents[3]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", ["text: é", b"\0bytes", memoryview(b"view")])
def test_the_content_replaces_a_file(tmp_path: Path, content: str | bytes | memoryview) -> None:
    file = tmp_path / "net.html"
    file.write_text("old")
    file.chmod(0o640)
    write_file(file, content)
    assert file.read_bytes() == (content.encode() if isinstance(content, str) else bytes(content))
    assert file.stat().st_mode & 0o777 == 0o640
    assert _names(tmp_path) == ["net.html"]


def test_a_new_file_has_the_mode_that_the_user_asked_for(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "a", "")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_an_exception_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    file = tmp_path / "net.png"
    file.write_text("old")
    with pytest.raises(error), new_file(file) as path:
        assert path.suffix == ".png"
        path.write_text("half")
        raise error
    assert file.read_text() == "old"
    assert _names(tmp_path) == ["net.png"]


def test_a_file_that_is_too_large_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_file(tmp_path / "a", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert (tmp_path / "a").read_text() == "old"
    assert _names(tmp_path) == ["a"]


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "a")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "a").read_text() == "new"


@pytest.mark.parametrize("name", ["loop", "gone/a", "folder"])
def test_what_cannot_be_written_is_an_os_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_file(tmp_path / name, "new")
    assert _names(tmp_path) == ["folder", "loop"]


def test_a_pipe_and_a_device_are_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE, text=True) as reader:
        write_file(tmp_path / "pipe", "through a pipe")
        assert reader.communicate(timeout=20)[0] == "through a pipe"
    write_file(Path("/dev/null"), "nowhere")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OSError, match="No space left"):
        write_file(Path("/dev/full"), "nowhere")


def test_the_next_write_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from attnexport.runtime.files.write import new_file\n"
        "with new_file(Path(sys.argv[1])) as path: path.write_text('half'); os.kill(os.getpid(), 9)"
    )
    (tmp_path / "a").write_text("old")
    (tmp_path / ".a.partial-notes").mkdir()
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(_names(tmp_path)) == 3
    assert (tmp_path / "a").read_text() == "old"
    write_file(tmp_path / "a", "new")
    assert _names(tmp_path) == [".a.partial-notes", "a"]


WRITES_IN_PROGRESS = {
    "runtime/files/atomic.py": "the marker of a temporary folder",
    "runtime/files/write.py": "the function that every other file uses",
    "runtime/bundle/golden.py": "a bundle in progress",
    "runtime/bundle/writer.py": "a bundle in progress",
    "runtime/sessions/large_model.py": "a bundle in progress, or a temporary folder",
    "runtime/triton/draft.py": "a repository in progress",
    "runtime/triton/sequence_draft.py": "a repository in progress",
    "runtime/triton/warmup.py": "a repository in progress",
    "runtime/serve/deployed_model.py": "the folder of a running server",
    "runtime/serve/front/front.py": "the folder of a running server",
    "runtime/serve/gate.py": "the folder of a running server",
    "runtime/serve/reload.py": "the folder of a running server",
    "runtime/serve/private.py": "the lock of an environment in progress",
    "export/stages/build.py": "a bundle in progress",
    "export/report/page.py": "a bundle in progress",
    "export/rebuild.py": "a bundle in progress",
    "export/verify/sampled.py": "a bundle in progress",
    "export/debug/find.py": "a folder in progress",
    "export/debug/reproduce.py": "a folder in progress",
    "export/debug/sweep.py": "a temporary folder",
    "export/api/options.py": "a temporary folder",
    "export/bench/measured_model.py": "a temporary folder",
    "export/bench/memory.py": "a temporary folder, and the kernel's mark of peak memory",
}
"""The files of the package that write by themselves, and why nobody can see theirs half written."""
_METHODS = {"write_text", "write_bytes", "savefig", "tofile", "mkstemp", "copy", "copyfile", "copyfileobj"}
_CALLS = {
    ("np", "save"),
    ("np", "savez"),
    ("np", "savez_compressed"),
    ("onnx", "save"),
    ("torch", "save"),
    ("shutil", "move"),
}


def _writes(path: Path) -> bool:
    """Whether a file writes outside of a block ``with new_file(...)``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and any("new_file" in ast.dump(item.context_expr) for item in node.items):
            inside |= set(ast.walk(node))
    return any(isinstance(node, ast.Call) and node not in inside and _is_write(node) for node in ast.walk(tree))


def _is_write(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Attribute):
        on = function.value.id if isinstance(function.value, ast.Name) else ""
        if function.attr in {"copy", "copyfile", "copyfileobj"}:
            return on == "shutil"
        if function.attr in _METHODS or (on, function.attr) in _CALLS:
            return True
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    modes = [a.value for a in (*call.args, *(k.value for k in call.keywords)) if isinstance(a, ast.Constant)]
    return name in ("open", "fdopen") and any(isinstance(m, str) and set(m) & set("wax+") and len(m) < 4 for m in modes)


def test_one_function_writes_files() -> None:
    found = {
        str(path.relative_to(ROOT))
        for room in ("cli", "export", "runtime", "models")
        for path in (ROOT / room).rglob("*.py")
        if _writes(path)
    }
    assert found - set(WRITES_IN_PROGRESS) == set(), "use runtime/files/write.py"
    assert set(WRITES_IN_PROGRESS) - found == set(), "these do not write any more"
