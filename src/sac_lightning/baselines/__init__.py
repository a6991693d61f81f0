"""The systems that SAC is compared with: each a module from images (B, 3, H, W) in 0..255 to logits."""
