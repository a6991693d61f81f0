"""Figure 2 of the paper, left to right, in pure torch."""
