"""The web page: what `python -m sac_lightning.demo` shows, and how it is served."""
