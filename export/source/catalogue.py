"""The named networks as plain values, for ``attnexport models``.

Counting a network runs it on the meta device, up to seconds for a large one, so counts are kept in the user's cache
folder (XDG_CACHE_HOME), under what they depend on: the code of models/ and torch's version.
"""

import hashlib
import inspect
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ...models import registry
from ...models.count import count
from ...runtime.user_cache import cache_folder, read_cache, write_cache
from ..progress import Reporter, Silent

CACHE = "counts.json"


def catalogue(name: str | None = None, reporter: Reporter | None = None) -> list[dict[str, Any]]:
    """Return a row for each network, sorted by family; with ``name`` only that network, with its options.

    name, family, parameters, multiply_adds, inputs, outputs, task, paper, summary; with ``name`` also options (their
    defaults by name) and reduced_options. Raises InputError for a name that is not known.
    """
    families = registry.families()
    if name is None:
        wanted = [(family, each) for family, names in families.items() for each in names]
    else:
        try:
            registry.entry(name)
        except ValueError as error:
            raise InputError(str(error).rstrip("?")) from error
        wanted = [(family, name) for family, names in families.items() if name in names]
    counts = _counts([each for _, each in wanted], reporter or Silent())
    return [_row(family, each, counts[each], whole=name is not None) for family, each in wanted]


def _row(family: str, name: str, counts: dict[str, int], *, whole: bool) -> dict[str, Any]:
    entry = registry.entry(name)
    row: dict[str, Any] = {
        "name": name, "family": family, **counts, "inputs": list(entry.inputs), "outputs": list(entry.outputs),
        "task": entry.task, "paper": entry.paper, "summary": entry.summary,
    }  # fmt: skip
    if whole:
        options = inspect.signature(entry.builder).parameters.values()
        row["options"] = {option.name: option.default for option in options if option.default is not option.empty}
        row["reduced_options"] = dict(entry.reduced_options)
    return row


def _counts(names: list[str], reporter: Reporter) -> dict[str, dict[str, int]]:
    key = _key()
    kept = _kept(key)
    missing = [name for name in names if name not in kept]
    if missing:
        reporter.started("count")
        for done, name in enumerate(missing):
            reporter.progress(done / len(missing), f"counting {name}")
            kept[name] = asdict(count(registry.entry(name)))
        write_cache(cache_folder(CACHE), {"key": key, "counts": kept})
    return kept


def _key() -> str:
    """A digest of everything that the counts depend on."""
    digest = hashlib.sha256(torch.__version__.encode())
    folder = Path(inspect.getfile(registry)).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _kept(key: str) -> dict[str, dict[str, int]]:
    """Return the value that is cached under ``key``; None if the file is damaged or from other code."""
    content = read_cache(cache_folder(CACHE))
    if content.get("key") != key:
        return {}
    try:
        return {
            str(name): {"parameters": int(one["parameters"]), "multiply_adds": int(one["multiply_adds"])}
            for name, one in content["counts"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
