"""What this process is at: the stage, the work in it, and the folder that it writes.

If a native library ends the process, nothing can be asked of it any more. Its parent reads the board, memory that both
share, and names what it was at. Without a board every call here returns at once.
"""

import json
import mmap
from dataclasses import asdict, dataclass

_BYTES = 16384
_LONGEST = 500
"""Characters of a text; a name in a file may be as long as the file."""


@dataclass(frozen=True)
class Whereabouts:
    """``stage`` of the export, ``work`` in it, such as a node, and ``destination``, the path of the folder that is written."""

    stage: str = ""
    work: str = ""
    destination: str = ""


class Board:
    """Memory that a process shares with the children that it forks."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _BYTES)
        self._now = Whereabouts()

    def write(self, **changes: str) -> None:
        """Replace the named fields. A reader sees the old text or the new one, or nothing in between."""
        self._now = Whereabouts(**{**asdict(self._now), **{key: text[:_LONGEST] for key, text in changes.items()}})
        content = json.dumps(asdict(self._now)).encode()[: _BYTES - 1]
        self._memory[: len(content) + 1] = content + b"\0"

    def read(self) -> Whereabouts:
        """What was written last; empty if the writer was killed while it wrote."""
        content = self._memory[:].split(b"\0", 1)[0]
        try:
            return Whereabouts(**json.loads(content))
        except ValueError:
            return Whereabouts()


_boards: list[Board] = []


def use(board: Board) -> None:
    """Write to ``board`` from now on."""
    _boards[:] = [board]


def at_stage(name: str) -> None:
    """A stage starts."""
    for board in _boards:
        board.write(stage=name, work="")


def at_work(*words: str) -> None:
    """The work inside the stage: a node, a file in a session. Words are joined only if somebody reads them."""
    for board in _boards:
        board.write(work=" ".join(words))


def writes(destination: str) -> None:
    """A folder is written that must not be left half done."""
    for board in _boards:
        board.write(destination=destination)
