"""The wheel, installed into a fresh environment: it starts, finds its data files, and verifies a committed bundle.

The environment takes the dependencies from the one that runs the tests, so nothing is downloaded.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "tests" / "data" / "gated.attn"
"""A convolution with a channel gate and a classifier in FP32 and FP16: a newer attnexport must still open it."""

Run = Callable[..., str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """``run(*arguments)``: the output of the installed ``attnexport``, outside the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("the wheel is built from a clone, and this is not one")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(source)], check=True)
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    (site,) = folder.glob("env/lib/python3*/site-packages")
    (wheel,) = folder.glob("attnexport-*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, str(wheel)], check=True)
    folders = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in folders))

    def run(*arguments: str, program: str = "attnexport") -> str:
        command = [str(python.with_name(program)), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_package_comes_from_the_wheel(run: Run) -> None:
    path = Path(run("-c", "import attnexport; print(attnexport.__file__)", program="python").strip())
    assert path.parent.parent.name == "site-packages"
    assert not path.is_relative_to(ROOT)


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").split()[-1].count(".") == 2


def test_doctor_prints_the_targets(run: Run) -> None:
    assert "target ort-cpu" in run("doctor")


def test_a_committed_bundle_is_verified(run: Run) -> None:
    assert "bundle verified" in run("check", str(BUNDLE))
    assert "parity" in run("inspect", str(BUNDLE))


def test_every_data_file_is_in_the_wheel(run: Run) -> None:
    """Code reads them beside itself: matrices of operators, the pages of the demo and of the report."""
    script = "import attnexport, pathlib; print(*pathlib.Path(attnexport.__file__).parent.rglob('*'), sep='\\n')"
    installed = {Path(line).name for line in run("-c", script, program="python").splitlines()}
    command = ["git", "ls-files", "export", "runtime", "cli", "models"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    data = {Path(name).name for name in tracked if not name.endswith((".py", ".md"))}
    assert data
    assert data - installed == set()
