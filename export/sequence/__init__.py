"""Encoder-decoder networks: export encoder and decoder step into one bundle, and verify whole decodes."""

from .network import check_lengths, check_sequence_options, is_sequence
from .write import export_sequence

__all__ = ["check_lengths", "check_sequence_options", "export_sequence", "is_sequence"]
