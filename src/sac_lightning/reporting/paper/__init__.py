"""The paper's figures, its claims, and where they contradict each other."""
