"""TensorRT engines from ONNX models: ``find_flavour``, then ``build_engine``. Importing this loads no TensorRT."""
