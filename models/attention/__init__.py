"""Attention mechanisms, one a file, each as its paper defines it."""
