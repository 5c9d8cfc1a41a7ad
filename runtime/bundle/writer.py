"""Write a bundle whole or not at all, even with kill -9, a full disk, or Ctrl-C."""

import os
from collections.abc import Mapping
from dataclasses import replace as with_changes
from pathlib import Path
from types import TracebackType

from ...errors import BundleError, InputError
from ..files.atomic import NO_SPACE, PartialDirectory, publish, sweep, sync_tree
from ..files.read import MANIFEST_BYTES, RefusedFileError, parse_json, read_regular, sha256_of
from ..files.strangers import files_below, refuse_strangers
from .bundle import MANIFEST, StoredBundle
from .manifest import FORMAT, Manifest
from .sections import FileRecord


class BundleFolder:
    """A directory that becomes a bundle, or a part of one: its files and their roles. Messages call it ``name``."""

    def __init__(self, path: Path, name: str) -> None:
        self._folder = path
        self._name = name
        self._roles: dict[str, str] = {}

    @property
    def path(self) -> Path:
        """The directory for the files."""
        return self._folder

    def add(self, relative: str, role: str) -> None:
        """Set the role of a file, relative to ``path`` with forward slashes; the default is ``other``."""
        self._roles[relative] = role

    def seal(self, manifest: Manifest, roles: Mapping[str, str] | None = None) -> StoredBundle:
        """Record size and hash of every file and write the manifest.

        Raise BundleError for a file that was added and not written or is a link, OSError if it
        cannot be written.
        """
        files = self._records({**self._roles, **(roles or {})})
        (self.path / MANIFEST).write_text(with_changes(manifest, files=files).dumps(), encoding="utf-8")
        return StoredBundle.open(self.path)  # what is published can be opened

    def _records(self, roles: Mapping[str, str]) -> dict[str, FileRecord]:
        names = [name for name in files_below(self.path) if name != MANIFEST]
        if absent := [name for name in roles if name not in names]:
            raise BundleError(f"file {absent[0]!r} was added to {self._name} and not written", "")
        records = {}
        for name in names:
            file = self.path / name
            if file.is_symlink() or not file.is_file():
                raise BundleError(f"{name!r} of {self._name} is not a plain file", "write a copy instead")
            records[name] = FileRecord(sha256_of(file), file.stat().st_size, roles.get(name, "other"))
        return records


class BundleWriter(BundleFolder):
    """A bundle in progress. Write to ``path``, a temporary sibling of the destination; nothing is visible before :meth:`commit`.

    Leaving the ``with`` block without a commit, by an exception or not, removes everything that was
    written::

        with BundleWriter(Path("net.attn")) as writer:
            export(writer.path / "model.onnx")
            writer.add("model.onnx", "model-fp32")
            bundle = writer.commit(manifest)

    Entering raises InputError if the destination exists (and ``replace`` is not set), is not a
    bundle (never replaced), or cannot be written; a full disk inside the block becomes an
    InputError too.
    """

    def __init__(self, destination: str | Path, *, replace: bool = False) -> None:
        self.destination = Path(destination).absolute()
        super().__init__(self.destination, self.destination.name)
        self._replace = replace
        self._partial: PartialDirectory | None = None

    @property
    def path(self) -> Path:
        """The directory for the files. Only inside the ``with`` block."""
        if self._partial is None:
            raise RuntimeError("the bundle is not open: use it in a with statement, before commit")
        return self._partial.path

    def __enter__(self) -> "BundleWriter":
        self._check_destination()
        try:
            sweep(self.destination)
            self._check_exists()
            self._partial = PartialDirectory(self.destination)
        except OSError as error:
            raise self._refusal(error) from error
        return self

    def _check_destination(self) -> None:
        parent = self.destination.parent
        if not parent.is_dir():
            problem = f"{parent} is not a directory" if parent.exists() else f"directory {parent} does not exist"
            raise InputError(f"{problem}, so {self.destination.name} cannot be written there", "create it first")
        self._check_exists()

    def _check_exists(self) -> None:
        if not os.path.lexists(self.destination):
            return
        if not is_bundle(self.destination):
            raise InputError(
                f"{self.destination} exists and is not a bundle, so it is never replaced",
                "give another output with --out",
            )
        if not self._replace:
            raise InputError(f"bundle {self.destination} exists", "replace it with --force, or give another --out")
        refuse_strangers(self.destination, _listed(self.destination), "its manifest does not list")

    def commit(self, manifest: Manifest, roles: Mapping[str, str] | None = None) -> StoredBundle:
        """Record size and hash of every file, write the manifest, sync, and rename to the destination.

        Return the bundle at its destination. Raise BundleError for a file that was added and not
        written or is a link; InputError if the disk is full or the destination appeared meanwhile.
        """
        try:
            self.seal(manifest, roles)
            sync_tree(self.path)
            self._check_exists()
            publish(self.path, self.destination, replace=self._replace)
        except OSError as error:
            raise self._refusal(error) from error
        self._close()
        return StoredBundle.open(self.destination)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            raise self._refusal(error) from error

    def _close(self) -> None:
        if self._partial is not None:
            self._partial.close()
            self._partial = None

    def _refusal(self, error: OSError) -> InputError:
        if error.errno in NO_SPACE:
            return InputError(
                f"no space left to write {self.destination} ({error.strerror})", "free some, or give another --out"
            )
        return InputError(f"{self.destination} cannot be written ({error.strerror or error})", "give another --out")


def is_bundle(path: Path) -> bool:
    """Whether ``path`` is a bundle, of any schema version. Only bundles may be replaced."""
    return bool(_listed(path))


def _listed(path: Path) -> set[str]:
    """The files of a bundle of any schema version, as its manifest lists them; empty if ``path`` is not a bundle."""
    if path.is_symlink() or not path.is_dir():
        return set()
    try:
        value = parse_json(read_regular(path / MANIFEST, MANIFEST_BYTES))
    except (OSError, RefusedFileError):
        return set()
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return set()
    files = value.get("files")
    return {MANIFEST, *(files if isinstance(files, dict) else ())}
