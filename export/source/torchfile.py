"""Read files of ``torch.save`` and safetensors; pickled code runs only if the user trusts the file."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError, MissingBackendError
from .pickles import pickle_globals, refusal
from .weights import NESTS, Weights
from .words import reason


def load_torch(path: Path, *, allow_pickle: bool) -> Any:
    """Return the content of a ``torch.save`` file: tensors on the CPU, mapped from the file if the format allows it.

    Only plain containers and tensors are built (``weights_only=True``). Other content is refused, and the error
    lists its imports; with ``allow_pickle`` it is unpickled.
    """
    mmap = zipfile.is_zipfile(path) and _stored(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        names = pickle_globals(path)
        if not allow_pickle:
            raise refusal(path, names) from error
    except Exception as error:
        raise InputError(
            f"{path} cannot be read by torch.load: {reason(error)}", "copy, download or save it again"
        ) from error
    return _unpickle(path)


def _stored(path: Path) -> bool:
    """Whether all members of the zip are uncompressed, as torch writes them; compressed members cannot be mapped."""
    with zipfile.ZipFile(path) as archive:
        return all(i.compress_type == zipfile.ZIP_STORED for i in archive.infolist())


def _unpickle(path: Path) -> Any:
    # The class of a module is in its training code: add the current directory to the path, as for --factory.
    from .factory import current_directory

    try:
        with current_directory(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"{path} needs code that was not found: {reason(error)}",
            "run in the directory of the code that saved it, or give a state dict with --factory",
        ) from error
    except Exception as error:
        raise InputError(
            f"{path} cannot be unpickled: {reason(error)}", "save it again, or save a state dict"
        ) from error


def find_module(content: object) -> tuple[torch.nn.Module, str] | None:
    """Return the module in unpickled content and its key (empty at the top level); None if there is no module."""
    if isinstance(content, torch.nn.Module):
        return content, ""
    if isinstance(content, Mapping):
        for name in NESTS:
            if isinstance(content.get(name), torch.nn.Module):
                return content[name], name
    return None


def load_safetensors(path: Path) -> Weights:
    """The tensors of a safetensors file, mapped.

    Raises InputError for a damaged file, MissingBackendError without the library.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingBackendError(
            f"{path} needs the safetensors library", "pip install 'attnexport[export]'"
        ) from error
    try:
        return dict(load_file(path, device="cpu"))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is a damaged safetensors file: {reason(error)}", "copy or download it again"
        ) from error
