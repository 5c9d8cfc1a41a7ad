"""Encoder-decoder networks: export encoder and decoder step into one bundle, and verify whole decodes."""

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
