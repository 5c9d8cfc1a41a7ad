"""Write one file whole or not at all. Every file that attnexport writes outside of a folder in progress comes through here."""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .atomic import leftovers, locked_directory, sync_file, sync_folder


@contextlib.contextmanager
def new_file(destination: Path) -> Iterator[Path]:
    """The path of a file to write, with the name of ``destination``; it replaces ``destination`` at the end of the block.

    If the block raises, or the process is killed, ``destination`` stays as it was. A link is followed, and a device or pipe
    is written to. Raise OSError if it cannot be written.
    """
    with contextlib.suppress(OSError, RuntimeError):  # a loop of links is reported when it is written
        destination = destination.resolve()
    if _is_special(destination):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, destination.name)
            with Path(folder, destination.name).open("rb") as source, destination.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        return
    prefix = f".{destination.name}.partial-"
    for leftover in leftovers(destination.parent, prefix):
        shutil.rmtree(leftover, ignore_errors=True)
    around, lock = locked_directory(destination.parent, prefix)
    try:
        path = around / destination.name
        yield path
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(destination, path)
        sync_file(path)
        path.replace(destination)
        sync_folder(destination.parent)
    finally:
        shutil.rmtree(around, ignore_errors=True)
        os.close(lock)


def write_file(destination: Path, content: bytes | memoryview | str) -> None:
    """Write the content, a text as UTF-8, as :func:`new_file` does. Raise OSError."""
    with new_file(destination) as path:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
