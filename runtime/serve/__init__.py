"""``attnexport serve``: start Triton with bundles, verify it, watch it, and stop it without losing requests."""
