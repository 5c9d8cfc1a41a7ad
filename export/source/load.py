"""Load a model: find the reader of its file's format, and read it."""

from dataclasses import replace
from pathlib import Path

from ...errors import InputError
from ...runtime.files.read import sha256_of
from ..options import SourceOptions
from ..options.inputs import parse_dynamic, parse_inputs
from . import exported, from_weights, onnx_source, script
from .base import Reader, Source
from .sniff import sniff

READERS: tuple[Reader, ...] = (exported.READER, script.READER, *from_weights.READERS, onnx_source.READER)
"""One reader for each file format; the first whose format matches reads the file."""


def load(path: Path | None, options: SourceOptions) -> Source:
    """Load the file at ``path``, or build the network that ``options`` name.

    Raises InputError (exit code 2) for a file, name, weight, shape or option that cannot be used. Nothing is written.
    """
    _check_options(path, options)
    if path is None:
        return from_weights.build(options)
    reader = find_reader(path)
    if reader.has_architecture and (options.arch or options.factory or options.kwargs):
        option = "--arch" if options.arch else "--factory" if options.factory else "--kwargs"
        raise InputError(
            f"{path} contains its architecture ({reader.format.title}), and {option} is given", f"leave {option} out"
        )
    return replace(reader.read(path, options), sha256=sha256_of(path, follow=True))


def find_reader(path: Path) -> Reader:
    """Return the reader of the file's format. Raises InputError as :func:`.sniff.sniff` does."""
    file_format = sniff(path, [reader.format for reader in READERS])
    return next(reader for reader in READERS if reader.format is file_format)


def _check_options(path: Path | None, options: SourceOptions) -> None:
    if options.arch and options.factory:
        raise InputError(f"--arch {options.arch} and --factory {options.factory} are both given", "give one of them")
    if options.static and options.dynamic:
        raise InputError("--static and --dynamic contradict each other", "give one of them")
    parse_inputs(options.inputs)
    for text in options.dynamic:
        parse_dynamic(text)
    if path is None and not (options.random_weights or options.own_weights):
        raise InputError("no model file is given", "give one, or --arch with --random-weights")
    if options.random_weights and path is not None:
        raise InputError(f"--random-weights is given beside {path}", "give a file or random weights")
    if path is None and not (options.arch or options.factory):
        raise InputError(
            "--random-weights needs an architecture", "add --arch NAME (attnexport models lists them) or --factory"
        )
