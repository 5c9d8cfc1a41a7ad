"""Encoder-decoder networks: encoder and decoder step in one bundle, each by the ordinary stages, held together by real decodes."""

from __future__ import annotations

from .network import Sequence2Sequence, check_lengths, check_sequence_options, is_sequence
from .write import WrittenSequence, export_sequence

__all__ = [
    "Sequence2Sequence",
    "WrittenSequence",
    "check_lengths",
    "check_sequence_options",
    "export_sequence",
    "is_sequence",
]
