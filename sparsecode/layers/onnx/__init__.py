"""Networks as ONNX graphs: what uses a weight, runs that record inputs, factors as nodes."""
