"""Files on disk: written whole or not at all, and read as data that may be hostile."""
