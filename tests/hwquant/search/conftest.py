"""A search that takes a second: the demo's network, few samples."""

import numpy as np
import pytest

from hwquant import floating
from hwquant.data import Samples
from hwquant.quantize import QuantizeOptions, observe_network
from hwquant.search.evaluate import Task
from hwquant.search.space import Space
from hwquant.search.target import Target


@pytest.fixture(scope="session")
def calibration(demo_folder):
    """40 images."""
    with np.load(demo_folder / "calibration.npz", allow_pickle=False) as file:
        return file["x"][:40]


@pytest.fixture(scope="session")
def few(digits_samples):
    """120 labelled images."""
    return Samples(digits_samples.x[:120], digits_samples.y[:120])


@pytest.fixture(scope="session")
def make_task(digits_graph, calibration, few):
    """``make_task(bits=(2, 8), ...)``: a task on an 8x8 array that measures accuracy, cycles, weight bytes."""
    observed = observe_network(digits_graph, calibration)
    exact = floating.predict(digits_graph, few.x)[0]

    def make(
        bits=(2, 4, 8),
        activations=(),
        biases=(),
        measured=("accuracy", "cycles", "weight_bytes"),
        array=(8, 8),
        board=None,
        **quantizer,
    ):
        space = Space.of(observed.plan, bits, activations, biases)
        target = None if board is None else Target.of(board)
        return Task(observed, few, exact, space, QuantizeOptions(**quantizer), array, measured, target)

    return make
