"""A Triton server, supervised, with bundles behind it."""
