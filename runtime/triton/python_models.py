"""The classes that a repository's ``model.py`` builds on."""

from __future__ import annotations

from .model import BundleModel
from .sequence_model import DecodeModel, EncoderModel

__all__ = ["BundleModel", "DecodeModel", "EncoderModel"]
