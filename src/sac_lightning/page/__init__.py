"""The web page that `python -m sac_lightning.demo` serves."""
