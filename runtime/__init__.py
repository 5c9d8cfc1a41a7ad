"""Bundles on disk and the sessions that run them. Imports without torch, onnx and TensorRT."""
