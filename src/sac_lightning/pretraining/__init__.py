"""Pre-training of a small SAM from scratch on scenes without nuclei, and of MDM's U-Net on masked images."""
