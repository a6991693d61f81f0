"""Nuclei told apart: by watershed, by every prompt by itself, with thresholds tuned on validation images."""
