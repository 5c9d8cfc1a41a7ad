"""Write a Triton model repository from bundles."""
