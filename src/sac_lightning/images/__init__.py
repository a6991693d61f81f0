"""Image files of every kind, read one way for training, predict and the page."""
