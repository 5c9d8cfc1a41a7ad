"""Write a Triton model repository from bundles: all models are drafted and checked before the first one is published.

A new model appears whole, one more version of an existing model as its folder.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...errors import InputError
from ..bundle.bundle import StoredBundle
from ..files.atomic import NO_SPACE, PartialDirectory, sweep, sync_folder, sync_tree
from .config import Config, parse, schema
from .draft import Draft, draft_model
from .lint import CONFIG, check, version_numbers
from .options import RepositoryOptions, WrittenModel
from .sequence_draft import draft_sequence, names_of

_FIXED = ("backend", "platform", "max_batch_size", "input", "output", "ensemble_scheduling")
"""Fields that clients and the existing versions rely on."""


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
            raise InputError(f"{count} bundles would be the model {name!r}", "write them one by one, with --name")
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
                partial.close()
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


def check_beside(draft: Draft, folder: Path, *, reconfigure: bool) -> None:
    """Compare a draft with the existing model of its name.

    Raise InputError if the version exists, if inputs or outputs differ, or, without
    ``reconfigure``, if its configuration would change: it may have been edited by hand.
    """
    if not folder.exists():
        return
    check(folder)
    if (folder / str(draft.version)).exists():
        raise InputError(
            f"version {draft.version} of {draft.name!r} exists and is never overwritten", "leave out --version"
        )
    there = _read(folder)
    for field in _differences(there, draft.config):
        problem = (
            f"model {draft.name!r} has {field} {_short(there, field)}, and this would be {_short(draft.config, field)}"
        )
        if field in _FIXED:
            raise InputError(problem, "give the model another --name: a version answers as the others do")
        if not reconfigure:
            raise InputError(problem, "give the options that it was written with, or --reconfigure")


def publish(draft: Draft, folder: Path) -> None:
    """Move a checked draft to ``folder``.

    For an existing model, the files that the version needs move first and the version's folder
    last, so that Triton never loads half of it. An ensemble's configuration names the versions of
    its steps, so it moves last. Raise OSError.
    """
    if not folder.exists():
        draft.folder.rename(folder)
        sync_folder(folder.parent)
        return
    version = str(draft.version)
    if draft.backend == "ensemble":
        (draft.folder / version).rename(folder / version)
        (draft.folder / CONFIG).replace(folder / CONFIG)
    else:
        _take_configuration(draft, folder)
        (draft.folder / version).rename(folder / version)
    sync_folder(folder)


def _take_configuration(draft: Draft, folder: Path) -> None:
    """Move the draft's configuration, warm-up data and labels if they differ from the old ones."""
    if _differences(_read(folder), draft.config):
        for path in sorted(draft.folder.rglob("*")):
            relative = path.relative_to(draft.folder)
            if path.is_file() and relative.parts[0] != str(draft.version) and relative.name != CONFIG:
                (folder / relative).parent.mkdir(exist_ok=True)
                path.replace(folder / relative)  # named by their content: what is replaced is the same
        (draft.folder / CONFIG).replace(folder / CONFIG)


def _read(folder: Path) -> Config:
    return parse((folder / CONFIG).read_text(encoding="utf-8"), CONFIG)


def _differences(there: Config, draft: Config) -> list[str]:
    """The names of the fields that differ, fixed ones first."""
    old, new = _comparable(there), _comparable(draft)
    changed = [f.name for f in there.DESCRIPTOR.fields if getattr(old, f.name) != getattr(new, f.name)]
    return sorted(changed, key=lambda name: name not in _FIXED)


def _comparable(config: Config) -> Config:
    """Without the fields of a single version: the versions of an ensemble's steps, the data of a warm-up."""
    free = type(config)()
    free.CopyFrom(config)
    for step in free.ensemble_scheduling.step:
        step.ClearField("model_version")
    for sample in free.model_warmup:
        for value in sample.inputs.values():
            value.ClearField("input_data_file")
    return free


def _short(config: Config, field: str) -> str:
    text = " ".join(str(getattr(config, field)).replace("[", "").replace("]", "").split()) or "none"
    return text if len(text) <= 120 else f"{text[:117]}..."
