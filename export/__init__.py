"""Checkpoint to bundle: the stages, in the order in which the data passes them.

The package itself is the function of the Python API: ``attnexport.export(module, inputs)``, see :mod:`.api.export`. Submodules are
imported from it as from any package.
"""

import sys
from types import ModuleType
from typing import Any


class _Function(ModuleType):
    """``import attnexport.export.anything`` binds this module as ``attnexport.export``, so it has to be what is called, too."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from .api.export import export

        return export(*arguments, **options)


sys.modules[__name__].__class__ = _Function
