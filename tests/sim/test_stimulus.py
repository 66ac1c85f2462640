import numpy as np

from hwquant.sim.cocotb_backend import make_stimulus
from hwquant.sim.stimulus import Recording, Stimulus, load_run
from hwquant.sim.trace import Stalls, Write


def test_a_stimulus_survives_its_file(plain_case, tmp_path):
    stalls = Stalls(0.25, 0.5, 7)
    stimulus = make_stimulus(
        plain_case.program, plain_case.frames, expected=plain_case.expected, watch=2, stalls=stalls
    )
    stimulus.save(tmp_path / "stimulus.npz")
    loaded = Stimulus.load(tmp_path / "stimulus.npz")
    for name in Stimulus.ARRAYS:
        assert np.array_equal(getattr(loaded, name), getattr(stimulus, name))
    for name in ("bits", "patience", "watch", "stalls", "cycles", "frame_cycles", "addresses", "values"):
        assert getattr(loaded, name) == getattr(stimulus, name), name


def test_only_lanes_with_channels_are_compared(plain_case):
    (output,) = plain_case.program.outputs
    compared = make_stimulus(plain_case.program, plain_case.frames).compared
    lanes = plain_case.program.config.lanes
    assert compared.sum() == np.prod(output.shape)
    assert compared.ravel()[: output.shape[0]].all() or output.shape[0] > lanes
    assert not compared[-1, output.shape[0] % lanes or lanes :].any()


def test_a_recording_survives_its_file(plain_case, tmp_path):
    stimulus = make_stimulus(plain_case.program, plain_case.frames, watch=2)
    words, lanes = stimulus.expected.shape[1:]
    top = (1 << (stimulus.bits * lanes)) - 1
    recording = Recording([[top] * words, [0] * words], [5, 6], [7, 8], [(0, 3, 1, top), (1, 4, 2, 9)], 1.5)
    recording.save(tmp_path / "results.npz", stimulus)
    run = load_run(tmp_path / "results.npz", 2, stimulus.bits)
    assert run.words.tolist() == [[[-1] * lanes] * words, [[0] * lanes] * words]
    assert (run.cycles, run.periods, run.seconds) == ((5, 6), (7, 8), 1.5)
    assert run.writes == ((Write(3, 1, top),), (Write(4, 2, 9),))


def test_a_recording_of_nothing_is_a_run_of_no_frames(plain_case, tmp_path):
    stimulus = make_stimulus(plain_case.program, plain_case.frames, watch=1)
    Recording().save(tmp_path / "results.npz", stimulus)
    run = load_run(tmp_path / "results.npz", 1, stimulus.bits)
    assert run.words.shape == stimulus.expected.shape
    assert (run.cycles, run.writes) == ((), ((),))
