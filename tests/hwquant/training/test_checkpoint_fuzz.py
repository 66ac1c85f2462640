"""A checkpoint that is not what was written is refused; a resumed training never ends in a crash."""

import numpy as np
import pytest
from hwquant_testing.limits import attempt
from hwquant_testing.mutations import damaged_bytes, resealed
from hwquant_testing.seeds import seed_ranges

from hwquant.errors import HwquantError
from hwquant.graph import Clip, Conv, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.quantize import QuantizeOptions
from hwquant.training import Training, TrainOptions, progressive
from hwquant.training.checkpoint import KIND, VERSION
from hwquant.validate import validate
from hwquant.window import Window


@pytest.fixture(scope="module", params=["adam", "sgd"])
def training(request, tmp_path_factory):
    """A function that resumes a tiny training from a file, and the file of one that was cut off."""
    rng = np.random.default_rng(0)
    nodes = (
        Conv("a", ("x",), rng.normal(size=(3, 2, 3, 3)), np.zeros(3), Window((3, 3), padding=(1, 1, 1, 1))),
        Clip("relu", ("a",), low=0.0),
        MaxPool("pool", ("relu",), Window((2, 2), (2, 2))),
        Conv(
            "b",
            ("pool",),
            rng.normal(size=(2, 3, 2, 2)) * (rng.random((2, 3, 2, 2)) < 0.7),
            np.zeros(2),
            Window((2, 2)),
        ),
    )
    graph = Graph("tiny", (Input("x", (2, 4, 4), (2, 4, 4)),), nodes, (Output("y", "b", (2,)),))
    x = rng.normal(size=(8, 2, 4, 4)).astype(np.float32)
    data = (x, rng.integers(0, 2, 8))
    options = TrainOptions(epochs=4, batch_size=4, optimizer=request.param)
    path = tmp_path_factory.mktemp("fuzz") / f"{request.param}.checkpoint"

    def run(checkpoint, **more):
        training = Training(data, options, checkpoint=checkpoint, **more)
        return progressive(graph, training, x, QuantizeOptions(bits=3))

    def stop(what, done, total, note):
        if what == "round 1/2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, progress=stop)
    return run, path


@pytest.mark.parametrize("seeds", seed_ranges(20, 1000))
def test_damaged_bytes_are_refused(training, seeds, tmp_path):
    run, path = training
    for seed in seeds:
        data = damaged_bytes(np.random.default_rng(seed), path.read_bytes())
        if data != path.read_bytes():
            (tmp_path / "c").write_bytes(data)
            result = attempt(run, tmp_path / "c", resume=True)
            assert isinstance(result, HwquantError), f"seed {seed}"
            assert str(tmp_path / "c") in str(result), f"seed {seed}: {result}"


@pytest.mark.parametrize("seeds", seed_ranges(20, 1000))
def test_changed_contents_are_refused_or_trained_on(training, seeds, tmp_path):
    """Whoever makes the digests right can change a weight, but not crash the training."""
    run, path = training
    for seed in seeds:
        rng = np.random.default_rng(seed)
        (tmp_path / "c").write_bytes(resealed(rng, path, KIND, VERSION, int(rng.integers(1, 3))))
        try:
            result = attempt(run, tmp_path / "c", resume=True)
            if not isinstance(result, HwquantError):
                validate(result)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


def test_the_untouched_file_is_resumed(training, tmp_path):
    run, path = training
    (tmp_path / "c").write_bytes(path.read_bytes())
    validate(run(tmp_path / "c", resume=True))
