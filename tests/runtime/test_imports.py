"""Every module of runtime/ imports without torch, onnx, any TensorRT and onnxruntime, and quickly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import attnexport.runtime

ROOT = Path(attnexport.runtime.__file__).parent
MODULES = sorted(
    "attnexport.runtime"
    + "".join(f".{part}" for part in p.relative_to(ROOT).with_suffix("").parts if part != "__init__")
    for p in ROOT.rglob("*.py")
)

_BLOCKED = """
import sys

HEAVY = ("torch", "onnx", "onnxscript", "onnx_ir", "onnx_graphsurgeon", "tensorrt", "tensorrt_rtx", "onnxruntime")

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
"""


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _BLOCKED + code], capture_output=True, text=True, check=False)


def test_the_block_blocks() -> None:
    assert "torch is blocked" in _python("import torch").stderr


def test_there_are_modules() -> None:
    assert {"attnexport.runtime.check.check", "attnexport.runtime.sessions.ort", "attnexport.runtime"} <= set(MODULES)


def test_every_module_imports_without_the_heavy_packages() -> None:
    # One process for all, each module in turn: a failure names it.
    code = f"""
import importlib
for name in {MODULES}:
    try:
        importlib.import_module(name)
    except BaseException as error:
        sys.exit(f"{{name}}: {{error!r}}")
    loaded = [m for m in HEAVY if m in sys.modules]
    if loaded:
        sys.exit(f"{{name}} loads {{loaded}}")
"""
    done = _python(code)
    assert done.returncode == 0, done.stderr


# The packages are there or not: what a user meets is one line, with the command that helps.
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("from attnexport.runtime.sessions.ort import OrtSession; OrtSession(b'x')", "pip install onnxruntime"),
        (
            "from attnexport.runtime.sessions.tensorrt import TensorRTSession; TensorRTSession(b'x', 'rtx')",
            "pip install 'attnexport[rtx]'",
        ),
        (
            "from attnexport.runtime.sessions.tensorrt import TensorRTSession; TensorRTSession(b'x', 'enterprise')",
            "pip install 'attnexport[trt]'",
        ),
    ],
)
def test_a_missing_library_is_reported_with_the_install_command(code: str, words: str) -> None:
    done = _python(f"""
from attnexport.errors import MissingBackendError
try:
    {code}
except MissingBackendError as error:
    print(error)
""")
    assert words in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1


def test_doctor_survives_libraries_that_do_not_load() -> None:
    done = _python("""
from attnexport.runtime.doctor import diagnose
print({f.component: f.status for f in diagnose()})
""")
    assert done.returncode == 0, done.stderr
    found = eval(done.stdout)
    assert found["onnxruntime"] == "broken", "installed, and its import fails"
    assert found["target ort-cpu"] == "broken"
    assert found["python"] == found["numpy"] == "ok"
