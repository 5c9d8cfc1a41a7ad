"""The bundle on disk and what runs it. Imports without torch, without onnx and without TensorRT."""
