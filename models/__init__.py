"""Attention mechanisms and networks. They know nothing about export and import torch alone."""
