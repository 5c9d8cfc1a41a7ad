"""Inputs of a model: random feeds, samples, images."""
