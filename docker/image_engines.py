"""Programs that build and run an image: a container engine that answers, else buildah."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from attnexport.docker.image_base import BASE, TRITON, make_base, pip_mounts, run

FOLDER = Path(__file__).resolve().parent
DOCKERFILE = "docker/cpu.Dockerfile"
CONFINED = FOLDER / "confined.sh"


class ImageEngine(Protocol):
    """A program that builds and runs the CPU image."""

    name: str
    image: str

    def build(self, context: Path) -> None:
        """Build :attr:`image` from the folder of the repository."""

    def size(self) -> int:
        """Bytes of the image's layers, unpacked."""

    def running(
        self, models: Path, options: Sequence[str], command: Sequence[str] = ()
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run the image's entry point, or ``command``, on the host's network, with ``models`` read-only."""

    def signal(self, process: subprocess.Popen[bytes], number: int) -> None:
        """Pass a signal to the process in the image."""


def find_engine() -> ImageEngine:
    """Docker or Podman if its engine answers, else buildah. Exit the program if none is available."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            return Container(name)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit("image: no container engine answers, and building without one takes root on Debian or Ubuntu")
    missing = [tool for tool in ("buildah", "debootstrap") if not shutil.which(tool)]
    if missing:
        print(f"image: installing {' and '.join(missing)}", flush=True)
        run("apt-get", "update", "--quiet")
        run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing)
    return Buildah()


def passed_on() -> dict[str, str]:
    """Variables of this process for the server."""
    return {name: value for name, value in os.environ.items() if name in ("ATTNEXPORT_ADMIN_KEY", "OMP_NUM_THREADS")}


class Container:
    """Docker, or Podman, which takes the same arguments."""

    image = "attnexport:cpu"

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, context: Path) -> None:
        """See :class:`ImageEngine`."""
        run(self.name, "build", "--file", str(context / DOCKERFILE), "--tag", self.image, str(context))

    def size(self) -> int:
        """See :class:`ImageEngine`."""
        return int(run(self.name, "image", "inspect", "--format", "{{.Size}}", self.image, capture=True))

    @contextmanager
    def running(
        self, models: Path, options: Sequence[str], command: Sequence[str] = ()
    ) -> Iterator[subprocess.Popen[bytes]]:
        """See :class:`ImageEngine`."""
        confined = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        variables = [word for pair in passed_on().items() for word in ("--env", "=".join(pair))]
        words = ("run", "--rm", "--network", "host", "--volume", f"{models}:/models:ro", *confined, *variables)
        entry = ("--entrypoint", command[0]) if command else ()
        with subprocess.Popen([self.name, *words, *entry, self.image, *command[1:], *options]) as process:
            yield process

    def signal(self, process: subprocess.Popen[bytes], number: int) -> None:
        """See :class:`ImageEngine`; the client passes signals on by itself."""
        process.send_signal(number)


class Buildah:
    """Builds in a chroot, as root, with base and Triton images made here, without a registry of images."""

    name = "buildah"
    image = "localhost/attnexport/cpu"

    def build(self, context: Path) -> None:
        """See :class:`ImageEngine`."""
        make_base()
        with pip_mounts() as mounts:
            volumes = [word for mount in mounts for word in ("--volume", f"{mount}:ro")]
            words = ("build", "--layers", "--isolation", "chroot", "--format", "docker", *volumes)
            base = ("--build-arg", f"BASE_IMAGE={BASE}")
            stand_in = ("--file", str(context / "docker/triton-wheel.Dockerfile"), "--tag", TRITON)
            run("buildah", *words, *base, *stand_in, str(context))
            triton = ("--build-arg", f"TRITON_IMAGE={TRITON}")
            image = ("--file", str(context / DOCKERFILE), "--tag", self.image)
            run("buildah", *words, *base, *triton, *image, str(context))

    def size(self) -> int:
        """See :class:`ImageEngine`."""
        (image,) = json.loads(run("buildah", "images", "--json", self.image, capture=True))
        number, unit = image["size"].split()
        return round(float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit])

    @contextmanager
    def running(
        self, models: Path, options: Sequence[str], command: Sequence[str] = ()
    ) -> Iterator[subprocess.Popen[bytes]]:
        """See :class:`ImageEngine`."""
        config = json.loads(run("buildah", "inspect", "--type", "image", self.image, capture=True))["OCIv1"]["config"]
        variables = [*config["Env"], *("=".join(pair) for pair in passed_on().items())]
        user = config["User"].partition(":")[0]
        container = run("buildah", "from", self.image, capture=True)
        try:
            root = run("buildah", "mount", container, capture=True)
            inside = (*variables, *(command or config["Entrypoint"]), *options)
            ends_with_us = ("setpriv", "--pdeathsig", "KILL")
            with subprocess.Popen([*ends_with_us, str(CONFINED), root, user, str(models), *inside]) as process:
                yield process
        finally:
            run("buildah", "umount", container, capture=True)
            run("buildah", "rm", container, capture=True)

    def signal(self, process: subprocess.Popen[bytes], number: int) -> None:
        """See :class:`ImageEngine`; unshare ignores signals while its child runs."""
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.Signals(number))
