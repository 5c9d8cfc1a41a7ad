"""Whether the code that torch.compile makes of a layer runs at all: tried in a child process, since it can take its process with it.

inductor (torch 2.13, CPU) writes outside its buffers for a strided ``F.fold``: the heap is corrupted and the process aborts.
``python -m attnexport.benchmarks.local_attention_compile LAYER`` compiles a layer of the suite and runs it five times.
"""

from __future__ import annotations

import signal
import subprocess
import sys

SUSPECTS = ("outlook", "outlook-strided")
"""Families that are tried first; for the others the seconds that a child takes would buy nothing."""


class CompiledCrash(Exception):
    """The compiled layer ended its process."""


def try_in_child(name: str) -> None:
    """Raises CompiledCrash, saying how the child ended, where compiling or running the layer ``name`` does not end well."""
    command = [sys.executable, "-m", "attnexport.benchmarks.local_attention_compile", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit {done.returncode}"
        said = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise CompiledCrash(f"the compiled layer ends its process ({how}: {said[0]})")


def main() -> None:
    """The child."""
    import torch

    from attnexport.benchmarks.local_attention_suite import SUITE

    module, x = next(layer for layer in SUITE if layer.name == sys.argv[1]).build()
    compiled = torch.compile(module)
    with torch.inference_mode():
        for _ in range(5):
            compiled(x)


if __name__ == "__main__":
    main()
