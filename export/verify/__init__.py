"""Compare every written model with the reference, and find the stage and module that adds error."""
