"""Write a Triton model repository from bundles: all models are drafted and checked before the first one is published."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...errors import InputError
from ..bundle.atomic import NO_SPACE, PartialDirectory, sweep, sync_tree
from ..bundle.bundle import StoredBundle
from .config import schema
from .draft import Draft, draft_model
from .lint import check, version_numbers
from .options import RepositoryOptions, WrittenModel
from .publish import check_beside, publish
from .sequence_draft import draft_sequence, names_of


def write_repository(
    bundles: Sequence[Path], out: Path, options: RepositoryOptions | None = None
) -> tuple[WrittenModel, ...]:
    """Write a version of a model for each bundle. ``out`` may be a repository already; its models stay.

    An existing model gets one more version. Each model appears whole or not at all; if one bundle
    cannot be served, nothing is written.

    Raise InputError for a bundle that is damaged or cannot be served as requested, a version that
    exists, an existing model with other inputs or outputs, and a folder that cannot be written;
    MissingBackendError without tritonclient.
    """
    options = options or RepositoryOptions()
    schema()
    if not bundles:
        raise InputError("there is no bundle", "name one: attnexport triton NAME.attn --out REPO")
    opened = [StoredBundle.open(path) for path in bundles]
    names = [options.name or bundle.path.absolute().stem for bundle in opened]
    _check_names([model for name, bundle in zip(names, opened, strict=True) for model in names_of(name, bundle)])
    for bundle in opened:
        bundle.verify_files()
    with _staging(out) as staging:
        drafts: list[Draft] = []
        for name, bundle in zip(names, opened, strict=True):
            drafts += _draft(bundle, name, out, staging, options)
        for draft in drafts:
            check(draft.folder)
            check_beside(draft, out / draft.name, reconfigure=options.reconfigure)
        sync_tree(staging)
        for draft in drafts:
            publish(draft, out / draft.name)
    return tuple(
        WrittenModel(
            d.name, d.version, d.backend, out / d.name, d.bundle, d.config.max_batch_size, d.role, d.how, d.notes
        )
        for d in drafts
    )  # fmt: skip


def _draft(bundle: StoredBundle, name: str, out: Path, staging: Path, options: RepositoryOptions) -> list[Draft]:
    versions = [number for model in names_of(name, bundle) for number in version_numbers(out / model)]
    version = options.version or max(versions, default=0) + 1
    if bundle.manifest.parts:
        return draft_sequence(bundle, name, version, staging, options)
    if options.beam != 1:
        raise InputError(f"--beam {options.beam} is set and {bundle.path} has no decode", "leave it out")
    return [draft_model(bundle, name, version, staging, options)]


def _check_names(names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(
                f"{count} bundles would be the model {name!r}", "write them one by one, each with its --name"
            )
        if not name.replace("_", "").replace("-", "").replace(".", "").isalnum() or name.startswith("."):
            raise InputError(f"{name!r} is not a valid name for a model", "use letters, digits, _ - and . with --name")


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A hidden folder for drafts, locked against other writers. Folders of killed writers are removed.

    It is beside the repository, since Triton takes every folder inside for a model; it is inside
    only if a rename from outside is not possible: the repository is a mounted file system, or its
    parent folder is read-only.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file and a repository is a directory", "give another --out")
    try:
        with _alone(out):
            around = out.absolute().parent
            beside = os.access(around, os.W_OK) and around.stat().st_dev == out.stat().st_dev
            place = around / out.absolute().name if beside else out / "attnexport"
            sweep(place)
            partial = PartialDirectory(place)
            try:
                yield partial.path
            finally:
                partial.close(remove=True)
    except OSError as error:
        problem = "no space left to write" if error.errno in NO_SPACE else "cannot write"
        raise InputError(f"{problem} {out} ({error.strerror or error})", "free some, or give another --out") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make the folder and lock it against other writers; remove it again if nothing was written."""
    there = folder.exists()
    descriptor = _lock(folder)
    try:
        yield
    finally:
        if not there and not any(folder.iterdir()):
            folder.rmdir()
        os.close(descriptor)


def _lock(folder: Path) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if folder.is_dir() and os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
        os.close(descriptor)  # the writer before removed the folder
