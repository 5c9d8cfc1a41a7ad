"""Build the module that weights are loaded into: from the registry, or with the user's callable."""

import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ...models import registry
from .words import near_miss, reason

SEED = 0


def from_registry(name: str, kwargs: Mapping[str, Any]) -> torch.nn.Module:
    """A module of the registry, its weights drawn at seed 0. Raises InputError for an unknown name or option."""
    try:
        with _seeded():
            return registry.build(name, **kwargs)
    except (ValueError, TypeError, RuntimeError) as error:
        remedy = "for a module of your own, give --factory package.module:callable"
        raise InputError(str(error).rstrip("?"), remedy) from error


def from_factory(spec: str, kwargs: Mapping[str, Any]) -> torch.nn.Module:
    """Call ``package.module:callable``, with the current directory importable and torch's seed 0 while it runs.

    If the name is a module object, it is returned. JSON has no tuples: if the callable refuses lists, tuples are tried.
    Raises InputError if it cannot be imported, does not accept ``kwargs``, raises, or does not return a module.
    """
    with current_directory():
        factory = _find(spec)
        if isinstance(factory, torch.nn.Module):
            if kwargs:
                raise InputError(f"{spec} is a module, not a callable, so --kwargs has no use", "leave --kwargs out")
            return factory
        try:
            inspect.signature(factory).bind(**kwargs)
        except TypeError as error:
            takes = f"it takes {inspect.signature(factory)}"
            raise InputError(f"--factory {spec} cannot be called with --kwargs: {error}", takes) from error
        except ValueError:
            pass  # a builtin without a signature; calling it shows the error
        try:
            module = _made(factory, kwargs)
        except (Exception, SystemExit) as error:
            raise InputError(
                f"--factory {spec} raised {reason(error)}", "call it alone in Python to see where"
            ) from error
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"--factory {spec} returned a {type(module).__name__}", "return a torch.nn.Module")
    return module


def _made(factory: Callable[..., Any], kwargs: Mapping[str, Any]) -> Any:
    try:
        with _seeded():
            return factory(**kwargs)
    except (Exception, SystemExit):
        tuples = {name: _tuples(value) for name, value in kwargs.items()}
        if tuples == dict(kwargs):
            raise
        try:
            with _seeded():
                return factory(**tuples)
        except Exception:
            pass  # lists are not the cause: raise the first error
        raise


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _find(spec: str) -> Callable[..., Any]:
    module_name, colon, path = spec.partition(":")
    if not colon or not module_name or not path or module_name.endswith(".py") or "/" in module_name:
        raise InputError(
            f"--factory {spec!r} is not package.module:callable", "write for example --factory mynet.model:build"
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        top = module_name.partition(".")[0]
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise InputError(
                f"--factory {spec}: importing {module_name} failed, {error}", "install what it needs"
            ) from error
        inside = [p for p in Path.cwd().iterdir() if not p.name.startswith(".")]
        here = [p.stem for p in inside if p.suffix == ".py" or p.is_dir()]
        raise InputError(
            f"--factory {spec}: no module {error.name!r} was found{near_miss(top, here)}",
            "install it, or run in the directory that holds it",
        ) from error
    except (Exception, SystemExit) as error:
        raise InputError(
            f"--factory {spec}: importing {module_name} raised {reason(error)}", "import it alone to see"
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise InputError(f"--factory {spec}: it has no {name!r}{near_miss(name, dir(found))}", "check the name")
        found = getattr(found, name)
    if not callable(found):
        raise InputError(
            f"--factory {spec} is a {type(found).__name__}", "name a callable that returns a torch.nn.Module"
        )
    return found  # type: ignore[no-any-return]  # any callable: what it returns is checked after the call


@contextlib.contextmanager
def current_directory() -> Iterator[None]:
    """Make the current directory importable, as ``python -m`` does, for the time of the block."""
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield
