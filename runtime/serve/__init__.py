"""``attnexport serve``: bundles behind a Triton that is started, proved through the wire, watched, and drained."""
