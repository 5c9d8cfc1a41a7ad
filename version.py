"""The version of attnexport, which every bundle and page records."""

__version__ = "0.1.0"
