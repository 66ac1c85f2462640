"""An optimization that takes seconds: the demo's network on the iCEBreaker, few samples, every step once."""

import numpy as np
import pytest

from hwquant.boards import shapes
from hwquant.data import Samples
from hwquant.optimize import OptimizeOptions, optimize
from hwquant.training import Training, TrainOptions

OPTIONS = OptimizeOptions(
    max_drop=2.0,
    regain=30.0,
    bits=(3, 8),
    activation_bits=(4, 6, 8),
    offsets=("edge", "none"),
    arrays=1,
    passes=1,
    trials=8,
    generation=4,
    finalists=1,
    rounds=1,
    seed=1,
)


ARRAYS = ((2, 4), (4, 4), (4, 8), (8, 4))
"""Those that are tried: four instead of a hundred, for the time that the others take."""


class Subject:
    """The arguments of an optimization, and what they give."""

    def __init__(self, graph, samples, calibration):
        self.graph, self.calibration = graph, calibration
        self.training = Training((samples.x[:100], samples.y[:100]), TrainOptions(epochs=0.5, batch_size=32))
        self.validation = Samples(samples.x[150:230], samples.y[150:230])

    def run(self, folder=None, options=OPTIONS, **how):
        arguments = self.graph, "icebreaker", self.training, self.calibration, self.validation, options
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shapes, "SHAPES", ARRAYS)
            return optimize(*arguments, folder=folder, jobs=1, **how)


@pytest.fixture(scope="session")
def subject(demo_folder, digits_graph, digits_samples):
    """The demo's network with its samples."""
    with np.load(demo_folder / "calibration.npz", allow_pickle=False) as file:
        return Subject(digits_graph, digits_samples, file["x"][:40])


@pytest.fixture(scope="session")
def result(subject):
    """What an optimization in memory finds."""
    return subject.run()
