"""Small networks and data."""

import numpy as np
import pytest
from hwquant_testing.float_networks import build


@pytest.fixture(name="build", scope="session")
def _build():
    return build


@pytest.fixture(name="samples", scope="session")
def _samples():
    return np.random.default_rng(2).normal(0.2, 1, (48, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def digits(demo_folder):
    """The demo's 360 labelled images: 200 to train on, 160 to test with, and calibration data."""
    with np.load(demo_folder / "digits.npz") as file:
        x, y = file["x"], file["y"].astype(np.int64)
    with np.load(demo_folder / "calibration.npz") as file:
        return (x[:200], y[:200]), (x[200:], y[200:]), file["x"]
