"""What a module keeps of a run (``self.mean = self.mean.type_as(x)``, a cache by size) is not kept of the runs that tracing needs.

Tracing runs a module on tensors that are not real: fake ones of torch.export, and those that ``known_values`` marks. A module that keeps
one and finds it in the next run fails there with what says nothing of it ("Unable to cast NotImplemented to Tensor").
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def kept_state(module: torch.nn.Module) -> Iterator[None]:
    """Afterwards the attributes of each submodule, and what lies in their dictionaries and lists, are those of before.

    What is written into a tensor in place stays written.
    """
    attributes = [vars(part) for part in module.modules()]
    # Exact kinds: others may forbid it, as a FrozenDict that holds a configuration, or have a meaning of their own.
    kinds = (dict, OrderedDict, defaultdict, list)
    held = attributes + [value for names in attributes for value in names.values() if type(value) in kinds]
    before = [list(value) if isinstance(value, list) else dict(value) for value in held]
    try:
        yield
    finally:
        for here, content in zip(held, before, strict=True):
            here.clear()
            if isinstance(here, list):
                here.extend(content)
            else:
                here.update(content)
