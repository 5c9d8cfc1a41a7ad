"""Translations of ATen operators that replace torch.onnx's, one file for each family."""
