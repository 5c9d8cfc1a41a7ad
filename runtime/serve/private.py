"""A private Triton if the machine has none: the binary of the wheel nvidia-pytriton in a virtual environment.

Its Python backend runs models in processes that embed this Python and pass arrays by NumPy 1; under
NumPy 2 it answers 200 with EMPTY outputs. So the environment has NumPy 1, the installed version of
ONNX Runtime, and nothing else of the user. It is made once, in the user's cache folder, whole or
not at all.
"""

import ctypes.util
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import MissingBackendError
from ..cuda import cuda_device
from ..files.atomic import PartialDirectory, publish, sweep
from ..processes import run
from ..user_cache import cache_folder
from .log import Log

WHEEL = "nvidia-pytriton==0.7.0"
"""Triton 2.51. It is old and has published advisories: for this machine and CI; a container has a current one."""

_REMEDY = "put a tritonserver on PATH, name one by --triton, or use NVIDIA's image"
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_TENSORRT = ("tensorrt-rtx-cu12", "tensorrt-rtx", "tensorrt", "tensorrt-cu12", "tensorrt-cu13")


def private_environment(log: Log) -> Path:
    """Return the folder of the environment, and make it if it does not exist.

    Raise MissingBackendError if this machine or Python cannot run it, or the installation fails.
    """
    library = shared_python()
    needed = requirements()
    key = hashlib.sha256("\n".join((*needed, sys.base_prefix)).encode()).hexdigest()[:12]
    folder = cache_folder("serve") / f"triton-{_PYTHON}-{key}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            log(
                "info", "install", f"making Triton's private environment in {folder}, once: {', '.join((WHEEL, *needed))}",
                folder=str(folder), library=str(library),
            )  # fmt: skip
            sweep(folder)
            partial = PartialDirectory(folder)
            try:
                _install(partial.path, needed)
                publish(partial.path, folder, replace=False)
            except OSError as error:
                raise MissingBackendError(f"Triton's environment {folder} cannot be made: {error}", _REMEDY) from error
            finally:
                partial.close()
    return folder


def requirements() -> tuple[str, ...]:
    """The packages of the environment beside the wheel: those that the runtime imports, in the installed versions."""
    gpu = cuda_device() is not None
    runtime = "onnxruntime-gpu" if gpu else "onnxruntime"
    version = _version("onnxruntime-gpu") or _version("onnxruntime")
    packages = ["numpy>=1.26,<2", f"{runtime}=={version}" if version else f"{runtime}>=1.20", "rich>=13.7"]
    if gpu:
        packages += [f"{name}=={version}" for name in _TENSORRT if (version := _version(name))]
    return tuple(packages)


def shared_python() -> Path:
    """The shared library of this Python, which the processes of the wheel load.

    Raise MissingBackendError for a machine that the wheel does not support, or a Python without
    such a library.
    """
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise MissingBackendError(f"the wheel {WHEEL} is for Linux on x86_64 and here is {sys.platform}", _REMEDY)
    name = f"libpython{_PYTHON}.so.1.0"
    for folder in (sysconfig.get_config_var("LIBDIR"), Path(sys.base_prefix, "lib")):
        if folder and Path(folder, name).exists():
            return Path(folder, name)
    if ctypes.util.find_library(name.removeprefix("lib").removesuffix(".so.1.0")):
        return Path(name)  # on the loader's path
    raise MissingBackendError(f"this Python, {sys.executable}, has no shared library {name}", _REMEDY)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _install(folder: Path, needed: tuple[str, ...]) -> None:
    _run("the environment", sys.executable, "-I", "-m", "venv", str(folder))
    pip = (str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--quiet")
    _run(WHEEL, *pip, "--no-deps", WHEEL)  # without its client and framework, which nothing here uses
    _run(", ".join(needed), *pip, "--only-binary=:all:", *needed)
    root = _root(folder)
    stub = root / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub"
    if not stub.is_file():
        raise MissingBackendError(f"{WHEEL} has nothing for Python {stub.parent.name}", _REMEDY)
    shutil.copy(stub, root / "backends" / "python")
    (root / "bin" / "tritonserver").chmod(0o755)


def _root(folder: Path) -> Path:
    return next(folder.glob("lib/python3*/site-packages/pytriton/tritonserver"))


def program_in(folder: Path) -> tuple[Path, Path]:
    """The server and the folder of its backends in an environment of :func:`private_environment`."""
    root = _root(folder)
    return root / "bin" / "tritonserver", root / "backends"


def _run(what: str, *command: str) -> None:
    done = run(command)
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")]
        message = (errors or [f"{Path(command[0]).name} ended with {done.returncode}"])[-1]
        raise MissingBackendError(f"there is no Triton, and {what} cannot be installed: {message[:300]}", _REMEDY)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock, so that two servers that start together make the environment once."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
