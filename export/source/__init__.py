"""The first stage: from whatever file the user hands in to one Source, and a clear refusal of what cannot be used.

Every form is told by its content. No code in a file runs unless ``allow_pickle`` says that the file is trusted.
"""

from __future__ import annotations

from ..options import SourceOptions
from .base import Kind, Source
from .load import load

__all__ = ["Kind", "Source", "SourceOptions", "load"]
