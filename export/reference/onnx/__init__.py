"""The FP64 evaluator of ONNX graphs: a kernel of ours for each family of operators, ONNX Runtime's kernels for the rest."""
