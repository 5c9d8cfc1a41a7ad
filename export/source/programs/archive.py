"""The archive of a program (``.pt2``): only the members that torch needs, each checked, packed again for torch.

``torch.export.load`` (torch 2.9 to 2.13) runs code from a file in many ways:

- it pastes names of inputs, nodes, keywords, weights and dictionary keys into source that it compiles;
- sizes go through ``sympy.sympify``, which is ``eval``; guards are compiled as Python;
- operator names are looked up as attributes of ``torch``, so ``torch.os.system`` is found;
- the nesting of inputs and outputs may name an enumeration or a factory, and its module is imported;
- pickled weights and objects are unpickled without limits, and so are example inputs after a failure;
- packages of AOTInductor hold shared libraries.

Here every text satisfies a rule (:mod:`.document`), pickles hold only tensors, example inputs are left out, and other members do
not reach torch. The archive is packed again, because two zip readers can find different members in one file.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch

from ....errors import InputError
from ..words import reason
from .document import TRUST, checked_document

# Of torch 2.9 and newer, below a folder of any name; ``model`` is the program that torch.export.load returns.
_PROGRAM = {"models/model.json": "ExportedProgram"}
_WEIGHTS = {
    "data/weights/model_weights_config.json": "PayloadConfig",
    "data/constants/model_constants_config.json": "PayloadConfig",
}
_EXAMPLES = ("data/sample_inputs/model.pt", "serialized_example_inputs.pt")
_PLAIN = re.compile(
    r"data/(weights/weight|constants/tensor)_[0-9]{1,9}|archive_format|archive_version|byteorder|version|"
    r"\.data/(version|serialization_id)|\.format_version|\.storage_alignment"
)
_PICKLES = ("data/weights/model.pt", "data/constants/model.pt")
# Of older versions, at the top.
_OLD_PROGRAM = {"serialized_exported_program.json": "ExportedProgram"}
_OLD_PICKLES = tuple(f"serialized_{part}.{end}" for part in ("state_dict", "constants") for end in ("pt", "json"))
_IGNORED = re.compile(
    r"extra/.*|extra_files/.*|models/[^/]+\.json|data/(weights|constants|sample_inputs)/[^/]+\.(json|pt)"
)
_LARGEST = 1 << 26
"""The bytes by which the members may outgrow twice the file: torch stores them without compression."""


def checked_archive(data: bytes, path: Path) -> bytes:
    """Return the archive, packed again from the members that were checked.

    Raises InputError, naming the member and the text, if loading it with torch.export could run code.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(packed, "w") as checked:
        names = archive.namelist()
        # torch's reader ignores case: it would confuse two members that differ only in case.
        if len({n.lower() for n in names}) != len(names):
            raise InputError(f"{path} names a member twice", "save it again with torch.export.save")
        if sum(info.file_size for info in archive.infolist()) > 2 * len(data) + _LARGEST:
            raise InputError(
                f"{path} grows to many times its size when it is read", "save it again with torch.export.save"
            )
        for name, content in _checked_members(archive, path):
            checked.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def _checked_members(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, bytes]]:
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    old = "serialized_exported_program.json" in names
    roots = {"" if old else name.partition("/")[0] + "/" for name in names}
    if (
        len(roots) != 1
        or not re.fullmatch(r"[^\\\x00-\x1f]{0,255}", root := next(iter(roots)))
        or root in ("../", "./", "/")
    ):
        raise InputError(f"{path} has members in several folders", "save it again with torch.export.save")
    for name in names:
        content = _checked_member(name.removeprefix(root), archive, name, path)
        if content is not None:
            yield ("model/" if root else "") + name.removeprefix(root), content


def _checked_member(short: str, archive: zipfile.ZipFile, name: str, path: Path) -> bytes | None:
    """The content that torch gets; None for a member that it does not need."""
    kinds = {**_PROGRAM, **_WEIGHTS, **_OLD_PROGRAM}
    if short in kinds:
        return checked_document(archive.read(name), kinds[short], path, name)
    if short in _EXAMPLES:
        _check_pickle(archive.read(name), name, path)
        return b""
    if short in (*_PICKLES, *_OLD_PICKLES):
        content = archive.read(name)
        _check_pickle(content, name, path)
        return content
    if _PLAIN.fullmatch(short):
        return archive.read(name)
    if _IGNORED.fullmatch(short):
        return None
    if "aotinductor/" in short.lower():
        raise InputError(f"{path} holds compiled code ({name})", "give the .pt2 that torch.export.save writes")
    if short.startswith(("data/constants/custom_obj_", "data/constants/opaque_obj_")):
        raise InputError(f"{path} holds a pickled object ({name})", f"export a model of tensors only, or {TRUST}")
    raise InputError(f"{path} has the member {name[:80]!r}, which programs do not have", TRUST)


def _check_pickle(content: bytes, name: str, path: Path) -> None:
    if not content:
        return
    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{name} in {path} is a pickle that loads more than tensors: {reason(error, 160)}",
            f"export with plain tensors as example inputs, or {TRUST}",
        ) from error
