"""The LightningModule, its losses, callbacks and metrics; fit, test, tune, doctor."""
