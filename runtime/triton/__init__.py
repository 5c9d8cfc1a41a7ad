"""A Triton model repository written from bundles."""
