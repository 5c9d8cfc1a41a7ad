"""The bundle on disk, ``NAME.attn/``: its manifest and paths are checked when it is opened, its files on request."""

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import BundleError
from ..files.read import MANIFEST_BYTES, RefusedFileError, read_regular, sha256_of
from ..files.strangers import files_below
from .golden import GoldenCase, read_golden
from .manifest import Manifest

MANIFEST = "manifest.json"
_LONGEST_PATH = 1024


@dataclass(frozen=True)
class StoredBundle:
    """A bundle's directory and manifest. No other file has been read yet."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | Path) -> "StoredBundle":
        """Read the manifest and check every path in it.

        Raise BundleError if the directory or manifest is missing, the manifest is not JSON, of another schema or has a
        wrong field, or a path is absolute, climbs out with ``..``, or leads out through a symbolic link.
        """
        path = Path(path)
        if not path.exists():
            raise BundleError(f"bundle {path} does not exist", "make one with attnexport MODEL")
        if not path.is_dir():
            raise BundleError(f"{path} is a file and a bundle is a folder", "give the NAME.attn folder")
        try:
            content = read_regular(path / MANIFEST, MANIFEST_BYTES)
        except FileNotFoundError as error:
            raise BundleError(
                f"{path} has no {MANIFEST}, so it is not a bundle", "give the NAME.attn folder"
            ) from error
        except (OSError, RefusedFileError) as error:
            raise BundleError(f"{MANIFEST} of {path} cannot be read ({error})") from error
        try:
            manifest = Manifest.loads(content)
        except BundleError as error:
            raise BundleError(f"{path}: {error.problem}", error.remedy) from error
        check_names(path, manifest)
        for relative in manifest.files:
            if not (path / relative).resolve().is_relative_to(path.resolve()):
                raise BundleError(f"{relative!r} of {path} leads out of the bundle", "do not trust this bundle")
        return cls(path, manifest)

    def file(self, relative: str) -> Path:
        """The path of a listed file with the content that the manifest says, and of the weights beside a model.

        Each file is hashed once while it does not change. Raise BundleError if it is not listed, missing, a link or changed,
        or if a model reads a file that is not listed.
        """
        path = self.located(relative)
        self._compare(relative)
        if (weights := f"{relative}.data") in self.manifest.files:
            self._compare(weights)
        if self.manifest.files[relative].role.startswith("model-"):
            self._refuse_unlisted_weights(relative)
        return path

    def located(self, relative: str) -> Path:
        """The path of a listed file, whatever it contains. Raise BundleError if it is not listed or missing."""
        if relative not in self.manifest.files:
            raise BundleError(f"{self.path} lists no file {relative!r}", f"it has {', '.join(self.manifest.files)}")
        file = self.path / relative
        if not os.path.lexists(file):
            raise BundleError(f"file {relative!r} of {self.path} is missing", "copy the whole bundle again")
        return file

    def _compare(self, relative: str) -> None:
        record, file = self.manifest.files[relative], self.located(relative)
        where = f"file {relative!r} of {self.path}"
        try:
            if (size := file.lstat().st_size) != record.bytes and not file.is_symlink():
                raise BundleError(
                    f"{where} has {size} bytes and the manifest says {record.bytes}", "copy the whole bundle again"
                )
            digest = sha256_of(file)
        except RefusedFileError as error:
            raise BundleError(
                f"{where} is refused: {error}", "copy the whole bundle again, with plain files"
            ) from error
        except OSError as error:
            raise BundleError(f"{where} cannot be read ({error.strerror})", "check its permissions") from error
        if digest != record.sha256:
            raise BundleError(
                f"{where} has changed: sha256 {digest[:12]}… and the manifest says {record.sha256[:12]}…",
                "copy the whole bundle again",
            )

    def _refuse_unlisted_weights(self, model: str) -> None:
        """Raise BundleError if a model's text has the name of a file in the bundle that the manifest does not list."""
        unlisted = [name for name in files_below(self.path) if name != MANIFEST and name not in self.manifest.files]
        if not unlisted:
            return
        with (self.path / model).open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
            for name in unlisted:
                if text.find(PurePosixPath(name).name.encode(errors="surrogateescape")) >= 0:
                    raise BundleError(f"{model!r} of {self.path} reads {name!r}, which the manifest does not list")

    def part(self, name: str) -> "StoredBundle":
        """Open a part as a bundle. Raise BundleError if the bundle does not have that part."""
        parts = self.manifest.parts
        if name not in parts:
            raise BundleError(f"{self.path} has no part {name!r}", f"it has {', '.join(parts) or 'none'}")
        self.file(f"{parts[name]}/{MANIFEST}")
        return StoredBundle.open(self.path / parts[name])

    def with_role(self, role: str) -> list[str]:
        """The listed paths of a role, in the manifest's order."""
        return [name for name, record in self.manifest.files.items() if record.role == role]

    def verify_files(self) -> None:
        """Compare the directory with the manifest. Raise BundleError for the first file missing, changed, or not listed."""
        for relative in self.manifest.files:
            self._compare(relative)
        for relative in files_below(self.path):
            if relative != MANIFEST and relative not in self.manifest.files:
                raise BundleError(f"file {relative!r} of {self.path} is not listed in its manifest", "remove it")

    def golden(self) -> tuple[GoldenCase, ...]:
        """The golden cases. Raise BundleError if the bundle has none or the file is damaged."""
        names = self.with_role("golden")
        if not names:
            raise BundleError(f"{self.path} has no golden cases")
        return read_golden(self.file(names[0]))


def check_names(path: Path, manifest: Manifest) -> None:
    """Raise BundleError if a manifest names a file that it does not list, or lists one that could lie outside of the bundle."""
    for relative in manifest.files:
        pure = PurePosixPath(relative)
        plain = relative == str(pure) and not pure.is_absolute() and "\\" not in relative and "\0" not in relative
        if not plain or ".." in pure.parts or relative in (".", "", MANIFEST):
            raise BundleError(f"path {relative!r} in the manifest of {path} is refused", "a path stays in the bundle")
        try:
            length = len(os.fsencode(relative))
        except UnicodeEncodeError:
            length = _LONGEST_PATH + 1
        if length > _LONGEST_PATH:
            raise BundleError(
                f"path {relative[:60]!r}… in the manifest of {path} is not a file name", "do not trust this bundle"
            )
    for user, file in _references(manifest):
        if file not in manifest.files:
            raise BundleError(f"{user} names file {file!r}, which {path} does not list")


def _references(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for engine in manifest.engines:
        yield "an engine", engine.file
    for part, folder in manifest.parts.items():
        yield f"part {part!r}", f"{folder}/{MANIFEST}"
    for file in manifest.operators:
        yield "the operators section", file
    for record in manifest.parity:
        yield f"stage {record.stage!r} of the parity section", record.file
