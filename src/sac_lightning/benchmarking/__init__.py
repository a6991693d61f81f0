"""Speed and memory, ours and segment-anything's own side by side."""
