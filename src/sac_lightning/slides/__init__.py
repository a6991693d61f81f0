"""Image files of any size in, nuclei out: what the predict command is made of."""
