"""Fixtures and helpers shared by the tests of charts and of pictures."""

from typing import Any

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are written."""
    written: list[Figure] = []
    original = Figure.savefig

    def remembered(self: Figure, *args: Any, **kwargs: Any) -> None:
        written.append(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", remembered)
    return written
