"""The machine's peak speed: its rate of matrix products."""

import time

import torch

SIDE = 2048
ROUNDS = 5


def measure_matrix_rate(dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of products of two square matrices, the best of a few."""
    a = torch.randn(SIDE, SIDE).to(dtype)
    a @ a
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * SIDE**3 / best
