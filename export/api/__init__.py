"""The Python interface: what ``attnexport.export(...)`` and ``attnexport.open(...)`` are made of."""
