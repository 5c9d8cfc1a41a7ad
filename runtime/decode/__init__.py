"""Decode with two sessions of any backend, an encoder and a decoder step; NumPy only.

:func:`open_decoder` opens the sessions of a bundle.
"""

from __future__ import annotations

from .beam import beam_search
from .bundle_decoder import BundleDecoder, open_decoder
from .decoder import Decoder, Rows
from .greedy import greedy
from .hypothesis import Hypothesis
from .names import Names
from .sequence import SequenceDecoder

__all__ = [
    "BundleDecoder",
    "Decoder",
    "Hypothesis",
    "Names",
    "Rows",
    "SequenceDecoder",
    "beam_search",
    "greedy",
    "open_decoder",
]
