"""Verify a bundle again on this machine, without torch."""
