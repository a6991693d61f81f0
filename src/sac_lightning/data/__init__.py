"""Images and instance maps: the official layouts, the canonical one, the splits, the transforms."""
