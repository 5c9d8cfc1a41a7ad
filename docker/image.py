"""``make image``: build the CPU image, start its server, and run the client tests against it.

``image.py``                          all of it, with docker or podman, or with buildah if no container engine answers
``image.py build``                    only build the image
``image.py serve BUNDLE… [OPTION…]``  ``attnexport serve`` in the image: not as root, with a read-only file system
``image.py run COMMAND…``             any command in the image, confined in the same way
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from attnexport.docker.image_engines import ImageEngine, find_engine

ROOT = Path(__file__).resolve().parents[1]
MATRIX = ("tests/serve/test_clients.py", "--deselect", "tests/serve/test_clients.py::test_the_line_to_type_is_answered")
"""All client tests except the one whose command names a file of the server, which is inside the image."""


def build(engine: ImageEngine) -> None:
    """Build the image and print its time and size."""
    began = time.monotonic()
    engine.build(ROOT)
    seconds = time.monotonic() - began
    print(f"image: {engine.image}, {engine.size() / 1e6:.0f} MB, built by {engine.name} in {seconds:.0f} s", flush=True)


def serve(engine: ImageEngine, words: Sequence[str]) -> int:
    """Serve copies of the bundles among ``words`` until a signal, which is passed on; return the server's exit code."""
    options = [word for word in words if not word.endswith(".attn")]
    with tempfile.TemporaryDirectory(prefix="attnexport-image-") as folder:
        models = Path(folder, "models")
        models.mkdir()
        for bundle in (word for word in words if word.endswith(".attn")):
            subprocess.run(["cp", "-R", bundle, models], check=True)
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        with engine.running(models, options) as process:

            def forward(number: int, _: FrameType | None) -> None:
                engine.signal(process, number)

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, forward)
            return int(process.wait())


def matrix(python: str) -> int:
    """Run the client tests against servers in the image."""
    began = time.monotonic()
    served = {"ATTNEXPORT_SERVE": shlex.join([python, str(Path(__file__)), "serve"])}
    done = subprocess.run([python, "-m", "pytest", "-q", *MATRIX], cwd=ROOT, env={**os.environ, **served}, check=False)
    print(f"image: client matrix in {time.monotonic() - began:.0f} s", flush=True)
    return done.returncode


def main(words: Sequence[str]) -> int:
    """Run a command and return the exit code."""
    command, *rest = words or ["all"]
    if command not in ("all", "build", "serve", "run") or (command == "run" and not rest):
        sys.exit(__doc__)
    engine = find_engine()
    if command == "run":
        with tempfile.TemporaryDirectory() as nothing:
            Path(nothing).chmod(0o777)
            with engine.running(Path(nothing), (), rest) as process:
                return int(process.wait())
    if command == "serve":
        return serve(engine, rest)
    build(engine)
    return matrix(sys.executable) if command == "all" else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"image: {' '.join(error.cmd[:2])} failed with exit code {error.returncode}; see its output above")
