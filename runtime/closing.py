"""A base class for objects that are closed after a ``with`` block."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Closing:
    """An object with ``close``, which a ``with`` block calls at its end."""

    def close(self) -> None:
        """Free the resources of the object."""
        raise NotImplementedError

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
