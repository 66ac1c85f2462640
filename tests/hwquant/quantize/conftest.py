"""Random float networks with every structure that the quantizer knows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hwquant_testing.float_networks import KINDS, build

from hwquant.graph import Graph

Build = Callable[[str, int], Graph]


@pytest.fixture(name="build")
def _build() -> Build:
    return build


@pytest.fixture(params=KINDS)
def graph(request: pytest.FixtureRequest) -> Graph:
    """One network of each structure."""
    return build(request.param, 1)


@pytest.fixture(name="samples")
def _samples() -> np.ndarray:
    return np.random.default_rng(2).normal(0.2, 1, (64, 3, 8, 8))
