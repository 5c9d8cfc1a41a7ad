"""The Python interface: ``attnexport.export(...)`` and ``attnexport.open(...)``."""
