"""torch.compile with inductor's defaults, compiled for each set of sizes by itself: the form that is quickest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .contender import Call, Contender, Feeds, Runner, needs_original
from .eager import torch_call

if TYPE_CHECKING:
    from ..site import Site


class CompiledRunner:
    """The module, compiled anew for the sizes of each call."""

    notes: tuple[str, ...] = ()

    def __init__(self, site: Site) -> None:
        self._site = site
        self._module = site.module

    def call(self, feeds: Feeds) -> Call:
        """Compile and run once. Raises what inductor raises, a missing C++ compiler for one."""
        import torch

        from ...quiet import quiet

        torch.compiler.reset()
        call = torch_call(self._site, torch.compile(self._module, dynamic=False), feeds)
        with quiet():
            call.outputs()
        return call

    def close(self) -> None:
        """Forget the code."""
        import torch

        torch.compiler.reset()


def _open(site: Site) -> Runner:
    return CompiledRunner(site)


CONTENDER = Contender("compile", "torch.compile", needs_original, _open, runs_module=True)
