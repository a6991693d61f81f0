"""The server that `python -m sac_lightning.serve` starts: clicks in QuPath, answered by a model."""
