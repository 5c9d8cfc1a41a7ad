"""How the windows of a LocalOutlook meet: which cells a place writes, and what those read.

With x = stride*g + c along each axis, the space is a grid of cells g, each with a value for every phase c. The window at
position p writes its place o at x = p*stride + o*dilation - before, so that a place writes into one phase only, and

    cell g gets from place o what its position p = g + step predicts,       step = (c + before - o*dilation) / stride
    and reads place t, ``delta`` = (t - o)*dilation values on: phase (c + delta) mod stride, (c + delta) // stride cells on.
"""

import numpy as np

from .local_window import LocalWindow

Place = tuple[int, ...]


class Cells:
    """The cells of one window geometry.

    ``phases`` and the window's ``offsets`` are in row-major order; ``writes`` has, by phase, (offset, step) of the places that
    write into it, steps from ``first_step`` to ``last_step``. Along each axis there are ``fewest`` to ``most`` more positions than
    cells, and no read or step leads further than ``slack`` cells beyond the grid.
    """

    def __init__(self, window: LocalWindow) -> None:
        axes, stride = range(window.rank), window.stride
        self._stride = stride
        self.offsets = list(window.offsets())
        self.phases: list[Place] = list(np.ndindex(*stride))
        self.writes: dict[Place, list[tuple[Place, Place]]] = {phase: [] for phase in self.phases}
        for offset in self.offsets:
            pairs = [divmod(offset[a] - window.before[a], stride[a]) for a in axes]
            self.writes[tuple(phase for _, phase in pairs)].append((offset, tuple(-step for step, _ in pairs)))
        surplus = [window.before[a] + window.after[a] - window.reach[a] for a in axes]
        self.fewest = tuple(surplus[a] // stride[a] for a in axes)
        self.most = tuple(-(-surplus[a] // stride[a]) for a in axes)
        hops = [self.read(phase, delta)[1] for phase in self.phases for delta in self.deltas(phase)]
        steps = [step for writes in self.writes.values() for _, step in writes]
        self.first_step = tuple(min(step[a] for step in steps) for a in axes)
        self.last_step = tuple(max(step[a] for step in steps) for a in axes)
        self.slack = tuple(
            max(*(abs(way[a]) for way in (*hops, *steps)), self.most[a] - min(0, self.first_step[a])) for a in axes
        )

    def deltas(self, phase: Place) -> dict[Place, list[tuple[int, int]]]:
        """The distances at which a phase reads, each with the (write, place that is read) pairs whose weights add up there."""
        found: dict[Place, list[tuple[int, int]]] = {}
        for write, (written, _) in enumerate(self.writes[phase]):
            for place, read in enumerate(self.offsets):
                delta = tuple(there - here for there, here in zip(read, written, strict=True))
                found.setdefault(delta, []).append((write, place))
        return found

    def read(self, phase: Place, delta: Place) -> tuple[Place, Place]:
        """The phase of the values that is read ``delta`` values on, and how many cells on that is."""
        pairs = [divmod(at + way, step) for at, way, step in zip(phase, delta, self._stride, strict=True)]
        return tuple(rest for _, rest in pairs), tuple(hop for hop, _ in pairs)
