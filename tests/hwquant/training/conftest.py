"""Small networks and data to train on."""

import numpy as np
import pytest
from hwquant_testing.float_networks import build

from hwquant.quantize import observe_network


@pytest.fixture(name="build")
def _build():
    return build


@pytest.fixture(name="samples", scope="session")
def _samples():
    return np.random.default_rng(2).normal(0.2, 1, (64, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def labels():
    return np.random.default_rng(3).integers(0, 5, 64)


@pytest.fixture(scope="session")
def observed(samples):
    """What quantization needs of a network of a kind and a seed."""
    return lambda kind, seed=1: observe_network(build(kind, seed), samples)


@pytest.fixture(scope="session")
def digits(demo_folder):
    """The demo's 360 labelled images: 200 to train on, 160 to test with, and calibration data."""
    with np.load(demo_folder / "digits.npz") as data, np.load(demo_folder / "calibration.npz") as calibration:
        x, y = data["x"], data["y"].astype(np.int64)
        return (x[:200], y[:200]), (x[200:], y[200:]), calibration["x"]
