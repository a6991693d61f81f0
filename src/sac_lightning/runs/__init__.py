"""A run's record, its identity, its interruption; sweeps of runs."""
