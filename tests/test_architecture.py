"""The structure that docs/design.md describes: who may import whom, what loads without torch, one test beside each rule."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("cli", "export", "runtime", "models")
FILES = sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py")) + sorted(ROOT.glob("*.py"))

# Which rooms a room may import, besides itself and errors.py.
ALLOWED = {"models": set(), "runtime": set(), "export": {"models", "runtime"}, "cli": {"export", "runtime"}}
# Third-party packages that a room may import at the top of a file; inside functions a backend may be imported by its own file.
TOP_LEVEL = {"models": {"torch"}, "runtime": {"numpy", "rich"}, "cli": {"typer"}}
BACKENDS = {"torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "onnx_graphsurgeon", "onnxscript", "onnx_ir"}


def room_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else "root"


def imports(path: Path, *, top_only: bool = False, type_checking: bool = False) -> list[tuple[str, ...]]:
    """Every import of a file as the parts of an absolute module path; those under TYPE_CHECKING only on request."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ("attnexport", *path.relative_to(ROOT).parts[:-1])
    found: list[tuple[str, ...]] = []
    hidden: set[int] = set()
    for node in ast.walk(tree):
        if not type_checking and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            hidden |= {id(n) for n in ast.walk(node)}
        if top_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            hidden |= {id(n) for n in ast.walk(node) if n is not node}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found += [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            found += [(*module, alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    room = room_of(path)
    if room not in ALLOWED:
        return
    for module in imports(path):
        if module[0] == "attnexport" and len(module) > 1 and module[1] in ROOMS and module[1] != room:
            assert module[1] in ALLOWED[room], f"{room} imports {'.'.join(module)}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_libraries_are_imported_where_they_belong(path: Path) -> None:
    room = room_of(path)
    if room not in TOP_LEVEL and room != "root":
        return
    allowed = TOP_LEVEL.get(room, {"typer"})
    for module in imports(path, top_only=True):
        if module[0] != "attnexport" and module[0] not in sys.stdlib_module_names:
            assert module[0] in allowed, f"{path.name} imports {'.'.join(module)} at its top"
    if room == "runtime":
        assert "torch" not in {module[0] for module in imports(path)}, "the runtime lives without torch"


LAYERS = {
    "export": (
        ("option_table", "progress", "quiet", "domain", "forward", "graph", "targets"),
        ("engine", "precision", "raising", "recognise"),
        ("options", "probe", "reference", "simplify"),
        ("capture", "lower", "search"),
        ("quantise", "source", "verify"),
        ("report", "stages"),
        ("rebuild", "scan", "sequence"),
        ("pipeline",),
        ("bench", "debug"),
        ("api",),
    ),
    "runtime": (
        ("closing", "confine", "cuda", "processes", "spec", "whereabouts"),
        ("files",),
        ("user_cache",),
        ("inputs", "sessions"),
        ("bundle",),
        ("doctor", "metrics", "open"),
        ("decode",),
        ("check",),
        ("show",),
        ("triton",),
        ("serve",),
    ),
}
"""The folders of export/ and of runtime/, and the files beside them, from the lowest layer up. Each imports only from lower layers."""
MOST_FILES_AT_THE_TOP = 6
MOST_LAYERS = 13
MOST_PARAMETERS = 8


def local_imports(path: Path) -> set[Path]:
    """The files of the package that ``path`` imports anywhere: in functions and for type checking, too."""
    found = set()
    for module in imports(path, type_checking=True):
        if module[0] != "attnexport":
            continue
        for parts in (module[1:], module[1:-1]):
            file = ROOT.joinpath(*parts)
            target = file.with_suffix(".py") if parts else ROOT / "__init__.py"
            target = target if target.is_file() else file / "__init__.py"
            if target.is_file():
                found.add(target)
                break
    return found - {path}


@pytest.mark.parametrize("room", LAYERS)
def test_a_folder_imports_only_from_lower_layers(room: str) -> None:
    layer = {name: number for number, names in enumerate(LAYERS[room]) for name in names}
    assert len(LAYERS[room]) <= MOST_LAYERS
    assert set(layer) == {p.stem for p in (ROOT / room).iterdir() if p.stem not in ("__init__", "__pycache__")}

    def name_of(path: Path) -> str | None:
        parts = path.relative_to(ROOT).with_suffix("").parts
        return parts[1] if parts[0] == room and parts[1] != "__init__" else None

    upward = [
        f"{path.relative_to(ROOT)} imports {target.relative_to(ROOT)}"
        for path in FILES
        if (own := name_of(path)) is not None
        for target in local_imports(path)
        if (other := name_of(target)) is not None and other != own and layer[other] >= layer[own]
    ]
    assert upward == []


CAPTURE = ("cleanup", "tracing", ("complex", "translations"))
"""The folders of export/capture/, from the lowest layer up. The files beside them import from all; no folder imports those files."""


def test_the_folders_of_capture_import_only_from_lower_layers() -> None:
    room = ROOT / "export" / "capture"
    layer = {name: n for n, names in enumerate(CAPTURE) for name in ((names,) if isinstance(names, str) else names)}
    assert set(layer) == {p.name for p in room.iterdir() if p.is_dir() and p.name != "__pycache__"}
    upward = [
        f"{path.relative_to(room)} imports {target.relative_to(room)}"
        for name in layer
        for path in (room / name).glob("*.py")
        for target in local_imports(path)
        if target.is_relative_to(room)
        and target.parent != path.parent
        and layer.get(target.parent.name, len(CAPTURE)) >= layer[name]
    ]
    assert upward == []


def test_the_server_does_not_import_its_demo() -> None:
    demo = ROOT / "runtime" / "serve" / "demo"
    assert not [path for path in demo.parent.glob("*.py") for target in local_imports(path) if target.parent == demo]


def test_no_files_import_each_other_in_a_circle() -> None:
    waiting = {path: local_imports(path) & set(FILES) for path in FILES}
    while leaves := [path for path, targets in waiting.items() if not targets & set(waiting)]:
        for path in leaves:
            del waiting[path]
    assert sorted(str(path.relative_to(ROOT)) for path in waiting) == []


def test_the_top_of_export_holds_folders_and_few_files() -> None:
    assert len(list((ROOT / "export").glob("*.py"))) <= MOST_FILES_AT_THE_TOP


def test_the_packages_that_are_installed_are_those_of_the_tree() -> None:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        listed = tomllib.load(stream)["tool"]["setuptools"]["packages"]
    found = {"attnexport"} | {
        ".".join(("attnexport", *init.parent.relative_to(ROOT).parts))
        for room in ROOMS
        for init in (ROOT / room).rglob("__init__.py")
    }
    assert set(listed) == found
    with_python = {p.parent for p in FILES if p.parent != ROOT}
    assert with_python == {ROOT.joinpath(*name.split(".")[1:]) for name in listed if name != "attnexport"}


RULE_MARKS = {
    "export/domain": "SCHEMA = ",
    "export/lower": "LOWERING = ",
    "export/precision/rules": "RULE = ",
    "export/raising": "RULE = ",
}
"""What makes a file of these folders a rule, and not something that rules share."""


@pytest.mark.parametrize("folder", RULE_MARKS)
def test_every_rule_has_its_test_beside_it(folder: str) -> None:
    """Named after the rule, or after what several forms have in common, and then naming each of them."""
    files = {p.stem.removeprefix("test_"): p for p in (ROOT / "tests" / folder).rglob("test_*.py")}
    sources = [p for p in (ROOT / folder).glob("*.py") if p.stem not in ("__init__", "operator", "rule")]
    rules = {p.stem for p in sources if RULE_MARKS[folder] in p.read_text()}
    shared = {
        rule
        for rule in rules
        for name, p in files.items()
        if rule.startswith(f"{name}_") and f'"{rule}"' in p.read_text()
    }
    assert len(rules) > 4
    assert rules - set(files) - shared == set()


BLOCKED = """
import sys, time
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
start = time.perf_counter()
import {first}
took = time.perf_counter() - start
import attnexport, importlib
for name in {modules}:
    importlib.import_module(name)
attnexport.__version__
print(took)
"""


def test_the_package_and_its_runtime_import_without_any_backend_and_quickly() -> None:
    modules = sorted(
        ".".join(("attnexport", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for p in (ROOT / "runtime").rglob("*.py")
    )
    modules += ["attnexport.cli", "attnexport.errors"]

    def seconds(first: str) -> float:
        script = BLOCKED.format(names=sorted(BACKENDS), modules=modules, first=first)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    assert min(seconds("attnexport") for _ in range(3)) < min(seconds("numpy") for _ in range(3))


@pytest.mark.parametrize("path", [p for p in FILES if room_of(p) != "cli"], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_signature_has_many_parameters(path: Path) -> None:
    """In the rooms below the command line, whose commands have a parameter for each option."""
    many = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            if len(set(names) - {"self", "cls"}) > MOST_PARAMETERS:
                many[node.name] = names
    assert many == {}


def test_no_file_outgrows_a_head() -> None:
    long = {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 500}
    assert long == {}
