"""Decoding with two sessions of any backend, an encoder and a decoder step; NumPy only."""

from __future__ import annotations

from .beam import beam_search
from .decoder import Decoder, Rows
from .greedy import greedy
from .hypothesis import Hypothesis
from .names import Names

__all__ = ["Decoder", "Hypothesis", "Names", "Rows", "beam_search", "greedy"]
