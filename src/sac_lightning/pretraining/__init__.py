"""The pre-training of a small SAM from scratch, on scenes that hold no nucleus."""
