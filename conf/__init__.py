"""The Hydra configuration, packaged as ``sac_lightning.conf``."""
