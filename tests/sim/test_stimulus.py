from dataclasses import fields

import numpy as np

from hwquant.sim.cocotb_backend import make_stimulus
from hwquant.sim.contract import Task
from hwquant.sim.recorder import Recorder
from hwquant.sim.stimulus import Recording, Stimulus, load_log
from hwquant.sim.trace import Stalls, Write


def test_a_stimulus_survives_its_file(plain_case, tmp_path):
    stalls = Stalls(0.25, 0.5, 7)
    stimulus = make_stimulus(Task(plain_case.program, plain_case.frames, 2, stalls), plain_case.expected)
    stimulus.save(tmp_path / "stimulus.npz")
    loaded = Stimulus.load(tmp_path / "stimulus.npz")
    for name in Stimulus.ARRAYS:
        assert np.array_equal(getattr(loaded, name), getattr(stimulus, name))
    names = {item.name for item in fields(Stimulus)} - set(Stimulus.ARRAYS)
    assert names >= {"bits", "patience", "linger", "stalls", "values"}
    for name in names:
        assert getattr(loaded, name) == getattr(stimulus, name), name


def test_only_lanes_with_channels_are_compared(plain_case):
    (output,) = plain_case.program.outputs
    compared = make_stimulus(Task(plain_case.program, plain_case.frames)).compared
    lanes = plain_case.program.config.lanes
    assert compared.sum() == np.prod(output.shape)
    assert compared.ravel()[: output.shape[0]].all() or output.shape[0] > lanes
    assert not compared[-1, output.shape[0] % lanes or lanes :].any()


def test_a_recording_survives_its_file(plain_case, tmp_path):
    stimulus = make_stimulus(Task(plain_case.program, plain_case.frames, 2))
    lanes = stimulus.lanes
    top = (1 << (stimulus.bits * lanes)) - 1
    seen = Recorder()
    seen.see(5, top, False)
    seen.see(6, top, True)
    seen.see(7, top + 1, False)
    recording = Recording([40, 41], [(3, 30, 1, top), (4, 40, 2, 9)], 50, 1.5)
    recording.save(tmp_path / "results.npz", stimulus, [(0, 1), (2, 2)], seen)
    log = load_log(tmp_path / "results.npz", stimulus.bits)
    assert log.sent.tolist() == [[0, 1], [2, 2]]
    assert log.results.words.tolist() == [[-1] * lanes, [0] * lanes]
    assert log.results.last.tolist() == [False, True]
    assert (log.results.first.tolist(), log.results.end.tolist()) == ([5, 7], [6, 7])
    assert log.results.taken.tolist() == [True, False]
    assert log.writes == ((3, Write(30, 1, top)), (4, Write(40, 2, 9)))
    assert (log.counters, log.cycles, log.seconds) == ((40, 41), 50, 1.5)


def test_a_recording_of_nothing_is_a_log_of_nothing(plain_case, tmp_path):
    stimulus = make_stimulus(Task(plain_case.program, plain_case.frames, 1))
    Recording().save(tmp_path / "results.npz", stimulus, [], Recorder())
    log = load_log(tmp_path / "results.npz", stimulus.bits)
    assert log.results.words.shape == (0, stimulus.lanes)
    assert (len(log.sent), log.counters, log.writes, log.cycles) == (0, (), (), 0)
