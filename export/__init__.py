"""Checkpoint to bundle: the stages, in the order in which the data passes them."""
