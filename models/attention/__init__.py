"""One attention mechanism a file, as its paper defines it."""
