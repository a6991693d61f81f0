"""Learning rates step by step."""

from math import cos, pi

import pytest
import torch

from sac_lightning.training.schedule import cosine_restarts


def test_the_cosine_begins_anew_after_its_period() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = cosine_restarts(optimizer, total_steps=60, epochs=15, period=10, eta_min=0.1)
    rates = []
    for _ in range(60):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:40] == pytest.approx([0.1 + 0.9 * (1 + cos(pi * step / 40)) / 2 for step in range(40)])
    assert rates[40:] == pytest.approx(rates[:20])
