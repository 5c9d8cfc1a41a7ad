"""The models that an export is compared with: the PyTorch module or the ONNX graph, in FP64."""
