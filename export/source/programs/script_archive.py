"""The archive of a TorchScript module: read without loading it, and packed again from the members that were checked.

``torch.jit.load`` runs ``__setstate__`` of any class while it loads, and operators such as ``aten::save`` and ``aten::from_file``
write and read files when the module runs. Native classes (``torch.classes``) restore themselves in libraries.
"""

import io
import pickletools
import re
import zipfile
from pathlib import Path

from ....errors import InputError
from .document import TRUST
from .script_code import refused_code

_CODE = re.compile(r"code(/\w+)+\.py", re.ASCII)
_KEPT = re.compile(
    r"code(/\w+)+\.py\.debug_pkl|(data|constants)/[0-9]{1,9}|version|byteorder|\.data/(version|serialization_id)|"
    r"\.format_version|\.storage_alignment",
    re.ASCII,
)
_PICKLES = ("data.pkl", "constants.pkl")
_IGNORED = re.compile(
    r"extra/.*|traced_inputs(\.pkl|/[0-9]+)|bytecode(\.pkl|/[0-9]+)|bytecode_debug\.pkl|mobile_debug_handles\.pkl|METADATA.*"
)
_GLOBALS = re.compile(
    r"__torch__(\.\w+)* \w+|torch\.jit\._pickle \w+|torch\._utils _rebuild_(tensor(_v2)?|parameter|qtensor)|collections OrderedDict|"
    r"torch (per_tensor_affine|per_channel_affine|device|\w+Storage)",
    re.ASCII,
)
_PACKED_WEIGHTS = re.compile(rb"torch\.classes\.quantized\.?\s+(\w+)")
_LARGEST = 1 << 26


def checked_script(data: bytes, path: Path) -> bytes:
    """Return the archive, packed again from the members that were checked.

    Raises InputError, which names the operator, class or member, if loading or running the module could do more than compute.
    """
    packed = io.BytesIO()
    sources: dict[str, str] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(packed, "w") as checked:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        if len({name.lower() for name in names}) != len(names):
            raise InputError(f"{path} names a member twice", "save it again with torch.jit.save")
        if sum(info.file_size for info in archive.infolist()) > 20 * len(data) + _LARGEST:
            raise InputError(
                f"{path} grows to many times its size when it is read", "save it again with torch.jit.save"
            )
        if len({name.partition("/")[0] for name in names}) != 1:
            raise InputError(f"{path} has members in several folders", "save it again with torch.jit.save")
        for name in names:
            short = name.partition("/")[2]
            if _IGNORED.fullmatch(short):
                continue
            content = archive.read(name)
            if _CODE.fullmatch(short):
                sources[short] = _source(content, short, path)
            elif short in _PICKLES:
                _check_pickle(content, short, path)
            elif not _KEPT.fullmatch(short):
                raise InputError(f"{path} has the member {name[:80]!r}, which TorchScript does not have", TRUST)
            checked.writestr(zipfile.ZipInfo(f"module/{short}"), content)
    if found := refused_code(sources):
        raise InputError(f"{path} has {found} in its code, which can do more than compute on tensors", TRUST)
    return packed.getvalue()


def _source(content: bytes, member: str, path: Path) -> str:
    for word in (b"__setstate__", b"__getstate__"):
        if word in content:
            raise InputError(f"{path} runs {word.decode()} while it is loaded ({member})", TRUST)
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        raise InputError(f"{member} in {path} has characters beyond ASCII", TRUST) from error


def _check_pickle(content: bytes, member: str, path: Path) -> None:
    """Only classes of the archive's own code, and tensors. The C++ reader looks up nothing else, but native classes."""
    try:
        found = [
            str(argument)
            for operation, argument, _ in pickletools.genops(content)
            if operation.name in ("GLOBAL", "INST", "STACK_GLOBAL") or operation.name.startswith("EXT")
        ]
    except Exception as error:  # genops raises whatever its argument readers raise
        raise InputError(f"{member} in {path} is a damaged pickle", "save it again with torch.jit.save") from error
    if packed := _PACKED_WEIGHTS.search(content):
        raise InputError(
            f"{path} is quantised ({packed[1].decode()} in {member})",
            "give the float model: attnexport sets precision itself",
        )
    if b"torch.classes" in content:
        raise InputError(f"{path} holds an object of a native class (torch.classes, in {member})", TRUST)
    if wrong := [name for name in found if not _GLOBALS.fullmatch(name)]:
        raise InputError(f"{member} in {path} builds {wrong[0][:80]!r}, which is not TorchScript", TRUST)
