"""torch.compile with inductor's defaults, compiled separately for each set of sizes, which is fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .contender import Call, Contender, Feeds, Runner, needs_original
from .eager import torch_call

if TYPE_CHECKING:
    from ..site import Site


class CompiledRunner:
    """The module, compiled for the sizes of each call."""

    notes: tuple[str, ...] = ()

    def __init__(self, site: Site) -> None:
        self._site = site
        self._module = site.module

    def call(self, feeds: Feeds) -> Call:
        """Compile and run once. Raises inductor's errors, for example without a C++ compiler."""
        import torch

        from ...quiet import quiet

        torch.compiler.reset()
        call = torch_call(self._site, torch.compile(self._module, dynamic=False), feeds)
        with quiet():
            call.outputs()
        return call

    def close(self) -> None:
        """Free the compiled code."""
        import torch

        torch.compiler.reset()


def _open(site: Site) -> Runner:
    return CompiledRunner(site)


CONTENDER = Contender("compile", "torch.compile", needs_original, _open, runs_module=True)
