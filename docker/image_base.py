"""The base of an image without a registry of images: Debian from its own archive, and pip with this machine's settings."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BASE = "localhost/attnexport/debian:bookworm"
TRITON = "localhost/attnexport/triton-wheel:2.51"
_SLIM = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")
"""Folders that Debian's slim images leave out."""
_CLEAN = """DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
"""Settings of apt in Debian's images: keep no downloaded packages."""
_THERE = "/run/pip"


def run(*words: str, capture: bool = False) -> str:
    """Run a program and return its standard output if captured. Raise CalledProcessError if it fails."""
    done = subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE if capture else None)
    return done.stdout.strip() if capture else ""


def make_base() -> None:
    """Make the image :data:`BASE` by debootstrap, if it does not exist."""
    command = ["buildah", "inspect", "--type", "image", BASE]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return
    with tempfile.TemporaryDirectory(prefix="attnexport-debian-") as folder:
        root = Path(folder, "root")
        run("debootstrap", "--variant=minbase", "bookworm", str(root))
        if (root / "proc").is_mount():
            run("umount", str(root / "proc"))
        slim = root / "etc/dpkg/dpkg.cfg.d/slim"
        slim.write_text("".join(f"path-exclude /{path}/*\n" for path in _SLIM))
        (root / "etc/apt/apt.conf.d/clean").write_text(_CLEAN)
        for path in (*_SLIM, "var/cache/apt", "var/lib/apt/lists", "proc", "sys", "dev"):
            run("find", str(root / path), "-mindepth", "1", "-xdev", "-delete")
        container = run("buildah", "from", "scratch", capture=True)
        run("buildah", "add", "--quiet", container, str(root), "/")
        run("buildah", "commit", "--quiet", "--rm", container, BASE)


@contextmanager
def pip_mounts() -> Iterator[list[str]]:
    """Volumes (``HERE:THERE``) with pip's settings for the build. They are mounted, so the image does not contain them.

    Local paths in the settings, an index or a file of certificates, appear under :data:`_THERE`.
    """
    settings: dict[str, str] = {}
    for line in run(sys.executable, "-m", "pip", "config", "list", capture=True).splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in ("global", "install", ":env:"):
            settings[name] = value.strip("'\"")
    volumes: list[str] = []
    for name, value in settings.items():
        words = []
        for word in value.split():
            here = Path(word.removeprefix("file://"))
            if here.is_absolute() and here.exists():
                mounted = here.parent if word.startswith("file://") else here  # an index links to what lies beside it
                there = f"{_THERE}/{len(volumes)}"
                volumes.append(f"{mounted}:{there}")
                word = word.replace(str(mounted), there, 1)
            words.append(word)
        settings[name] = " ".join(words)
    with tempfile.TemporaryDirectory(prefix="attnexport-pip-") as folder:
        file = Path(folder, "pip.conf")
        file.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items()), ""]))
        yield [f"{file}:/etc/pip.conf", *volumes]
