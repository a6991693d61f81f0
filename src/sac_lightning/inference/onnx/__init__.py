"""Trained models as ONNX: what is traced, what is written, and how onnxruntime runs it."""
