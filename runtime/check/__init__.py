"""Verify a bundle again, on the device, without torch."""
