"""Metrics of pixels, instances and prompts, right in any number of processes."""
