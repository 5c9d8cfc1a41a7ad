"""How a module's ``forward`` is called with named inputs, and how its result becomes named tensors."""
