"""Benchmarks of speed and memory, against segment-anything's own code."""
