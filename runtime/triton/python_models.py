"""The base classes for a repository's ``model.py``."""

from .model import BundleModel
from .sequence_model import DecodeModel, EncoderModel

__all__ = ["BundleModel", "DecodeModel", "EncoderModel"]
