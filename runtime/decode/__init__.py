"""Decode with two sessions of any backend, an encoder and a decoder step; NumPy only.

:func:`open_decoder` opens the sessions of a bundle.
"""

from .bundle_decoder import open_decoder

__all__ = ["open_decoder"]
