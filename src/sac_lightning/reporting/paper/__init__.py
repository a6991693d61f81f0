"""The paper as data: its figures, its claims and its contradictions."""
