"""List what a pickle would import, from its opcodes, without executing it."""

import io
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ...errors import InputError
from .words import first_few

# Opcodes that push the string in their argument, for STACK_GLOBAL.
_STRINGS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GET = {"GET", "BINGET", "LONG_BINGET"}
# A torch.save file of the old format is five pickles in sequence and then raw storages.
_LEGACY_PICKLES = 5
_SCAN_LIMIT = 1 << 16


def is_pickle(path: Path) -> bool:
    """Whether the file begins with a pickle of any protocol. A pickle of text opcodes must be whole."""
    with path.open("rb") as file:
        head = file.read(_SCAN_LIMIT)
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        # A long pickle ends beyond the head; then opcodes must at least parse as far as the head goes.
        return _parses(head, whole=len(head) < _SCAN_LIMIT)
    return _parses(head, whole=True) and head[:1] in b"(cl]}di"


def _parses(data: bytes, *, whole: bool) -> bool:
    count = 0
    try:
        for op, _, _ in pickletools.genops(io.BytesIO(data)):
            count += 1
            if op.name == "STOP":
                return count > 1
    except Exception:
        return not whole and count > 1
    return False


def pickle_globals(path: Path) -> list[str]:
    """Return the ``module.name`` of each import of unpickling the file, sorted, for all pickles in a zip or in sequence.

    Raises InputError if a pickle cannot be read to its end.
    """
    found: set[str] = set()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    found.update(_scan(io.BytesIO(archive.read(name)), path))
    else:
        with path.open("rb") as file:
            for _ in range(_LEGACY_PICKLES):
                if not file.peek(1):
                    break
                try:
                    found.update(_scan(file, path))
                except InputError:
                    if not found:
                        raise
                    break
    return sorted(found)


def _scan(file: BinaryIO, path: Path) -> set[str]:
    try:
        return set(_globals(file))
    except Exception as error:  # genops raises whatever its argument readers raise
        raise InputError(f"{path} is a damaged or truncated pickle", "copy or download it again") from error


def _globals(file: BinaryIO) -> Iterator[str]:
    """Follow strings through the memo to STACK_GLOBAL; a string that cannot be followed is reported as unknown, not omitted."""
    memo: dict[int, str | None] = {}
    recent: list[str | None] = []
    for op, argument, _ in pickletools.genops(file):
        if op.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
            recent.append(None)
        elif op.name == "STACK_GLOBAL":
            module, name = [None, None, *recent][-2:]
            yield f"{module or '<computed>'}.{name or '<computed>'}"
            recent.append(None)
        elif op.name.startswith("EXT"):
            yield f"copyreg.extension.{argument}"
            recent.append(None)
        elif op.name in _STRINGS:
            recent.append(str(argument))
        elif op.name in _GET:
            recent.append(memo.get(int(argument or 0)))
        elif op.name in _PUT:
            memo[int(argument or 0)] = recent[-1] if recent else None
        elif op.name == "MEMOIZE":
            memo[len(memo)] = recent[-1] if recent else None
        elif op.name not in ("FRAME", "PROTO", "MARK"):
            recent.append(None)


def refusal(path: Path, names: list[str]) -> InputError:
    """Return the error for a pickle that is not loaded; it names the imports."""
    from torch._weights_only_unpickler import _get_allowed_globals
    from torch.serialization import get_safe_globals

    safe = set(_get_allowed_globals()) | {
        f"{getattr(o, '__module__', '')}.{getattr(o, '__name__', o)}" for o in get_safe_globals()
    }
    foreign = [n for n in names if n not in safe]
    if not foreign:
        return InputError(
            f"{path} is not a plain state dict: torch.load(weights_only=True) refuses its pickle",
            "save the weights alone with torch.save(module.state_dict(), PATH)",
        )
    # Names outside torch describe a file best, so they come first.
    foreign.sort(key=lambda n: (n.startswith(("torch.", "collections.")), n))
    return InputError(
        f"{path} is a pickle of Python objects; loading it would import {first_few(foreign, 5)}",
        "save the weights alone with torch.save(module.state_dict(), PATH), "
        "or pass --allow-pickle if you trust the file: it runs code",
    )
