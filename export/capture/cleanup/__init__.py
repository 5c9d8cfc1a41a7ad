"""Passes over the captured graph: fold constants, name values, restore scalars and types."""
