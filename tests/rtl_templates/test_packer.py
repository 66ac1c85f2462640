"""The packer: words as the layout has them, of frames that come as they like, in cycles that are known before."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.clocked import interact, trace
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.program.config import ArrayConfig
from hwquant.program.layout import Placement, WindowPacking, words_to_integers
from hwquant.program.raw_inputs import RawInput, single_pixels, to_beats
from hwquant.rtl_templates.axis import Axis
from hwquant.rtl_templates.packer import Packer

OUTPUTS = (
    *("frames.valid", "frames.ready", "port.received", "port.dropped", "port.done"),
    *("write.address", "write.data", "write.enable"),
)
ADDRESS = 5


@st.composite
def axis(draw, length, names):
    """One axis of a packing, by the names of its fields, with at least one window."""
    small = st.integers(1, 3)
    positions, stride, dilation, first = draw(small), draw(small), draw(small), draw(st.integers(0, 3))
    reach = (positions - 1) * dilation + 1
    whole = max(first + length + draw(st.integers(0, 3)), reach)
    windows = draw(st.integers(1, (whole - reach) // stride + 1))
    return dict(zip(names, (positions, stride, dilation, first, windows)))


@st.composite
def raw_inputs(draw, largest=7):
    """An input, and its packing as a kernel with strides, dilations and padding would need it."""
    size = st.integers(1, largest)
    channels, height, width = draw(st.integers(1, 4)), draw(size), draw(size)
    zero_point = draw(st.integers(-8, 7))
    if draw(st.booleans()):
        return RawInput(single_pixels((channels, height, width)), zero_point)
    values = draw(axis(width, ("kernel", "stride", "dilation", "left", "width")))
    if draw(st.booleans()):
        values |= draw(axis(height, ("rows", "row_stride", "row_dilation", "top", "height")))
    return RawInput(WindowPacking((channels, height, width), **values), zero_point)


class Host:
    """Sends frames, lists of beats as integers, and collects what is written."""

    def __init__(self, config, frames, idle=lambda: False):
        self.config = config
        self.beats = [
            {"data": beat, "last": int(n == len(frame) - 1)}
            for frame in frames
            for n, beat in enumerate(frame)
        ]
        self.idle, self.offering = idle, False
        self.memory, self.done, self.received, self.dropped, self.writes = {}, None, None, 0, 0

    def step(self, cycle, seen):
        if self.done is not None:
            return None
        self.offering = bool(self.beats) and (self.offering or not self.idle())
        beat = self.beats[0] if self.offering else {"data": 0, "last": 0}
        return {
            "port.start": int(cycle == 0),
            "port.address": ADDRESS,
            "frames.valid": int(self.offering),
            "frames.payload": beat,
        }

    def after(self, cycle, seen):
        config, enable = self.config, seen["write.enable"]
        groups, banks = enable % (1 << config.groups), enable >> config.groups if config.arrays > 1 else 1
        if groups:
            assert groups == (1 << config.groups) - 1
            for bank in (bank for bank in range(config.arrays) if banks >> bank & 1):
                word = seen["write.data"] >> bank * config.word_bits & (1 << config.word_bits) - 1
                self.memory[bank, seen["write.address"]] = word
        if seen["frames.valid"] and seen["frames.ready"]:
            self.beats.pop(0)
            self.offering = False
        self.dropped += seen["port.dropped"]
        if seen["port.received"]:
            assert self.received is None
            self.received = cycle
        if seen["port.done"]:
            self.done = cycle


def frame_and_words(config, rng):
    """A frame of random values as integers, and the words that it is to become, by bank and address."""
    beats, words, address = [], {}, ADDRESS
    for item in config.raw_inputs:
        q = rng.integers(-8, 8, (1, *item.packing.shape))
        place = Placement(
            *("x", item.packing.shape, config.lanes, item.zero_point, address),
            packing=item.packing,
            strip_rows=item.strip_rows,
        )
        beats += words_to_integers(to_beats(q, config.frame_values)[0], config.activation_bits)
        made = iter(words_to_integers(place.to_words(q)[0], config.activation_bits))
        for start, count, strip in place.segments():
            values = [next(made) for _ in range(count)]
            for bank in [strip] if place.last_strip else range(config.arrays):
                words |= {(bank, start + n): value for n, value in enumerate(values)}
        address += place.room
    return beats, words


def make(inputs, rows, columns, arrays=1, strip=0):
    """An array; of several, strips are as high as the rows shared out, and ``strip`` rows more."""
    if arrays > 1:
        heights = [item.packing.packed_shape[1] for item in inputs]
        strips = [min(height, -(-height // arrays) + strip) for height in heights]
        inputs = [replace(item, strip_rows=rows) for item, rows in zip(inputs, strips)]
    several = {"arrays": arrays, "strip_bits": 4} if arrays > 1 else {}
    return ArrayConfig(
        *(rows, columns), activation_bits=4, activation_depth=20_000, raw_inputs=tuple(inputs), **several
    )


def run(config, frames, idle=lambda: False):
    host = Host(config, frames, idle)
    interact(Packer(config), host.step, OUTPUTS, host.after)
    return host


INPUTS = st.lists(raw_inputs(), min_size=1, max_size=3)


def check_words(inputs, rows, columns, seed, arrays=1, strip=0):
    config = make(inputs, rows, columns, arrays, strip)
    beats, words = frame_and_words(config, np.random.default_rng(seed))
    host = run(config, [beats])
    assert host.memory == words
    assert host.dropped == 0
    cycles = sum(item.cycles(config.frame_values, config.lanes) for item in config.raw_inputs)
    assert host.done == cycles
    assert host.done - host.received == config.raw_inputs[-1].tail(config.lanes)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(INPUTS, st.integers(2, 6), st.integers(2, 9), st.integers(0, 99))
def test_words_are_those_of_the_layout_in_the_cycles_that_are_predicted(inputs, rows, columns, seed):
    check_words(inputs, rows, columns, seed)


ARRAYS = (st.integers(2, 8), st.integers(0, 2))


@settings(max_examples=8, deadline=None, derandomize=True)
@given(INPUTS, st.integers(2, 6), st.integers(2, 9), st.integers(0, 99), *ARRAYS)
def test_of_several_arrays_each_gets_the_words_of_its_strips(inputs, rows, columns, seed, arrays, strip):
    check_words(inputs, rows, columns, seed, arrays, strip)


@pytest.mark.nightly
@settings(max_examples=500, deadline=None)
@given(INPUTS, st.integers(2, 6), st.integers(2, 9), st.integers(0, 99), st.integers(1, 8), st.integers(0, 2))
def test_words_of_many_inputs(inputs, rows, columns, seed, arrays, strip):
    check_words(inputs, rows, columns, seed, arrays, strip)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    st.lists(raw_inputs(largest=5), min_size=1, max_size=2),
    st.integers(2, 4),
    st.integers(1, 3),
    st.lists(st.integers(1, 60), max_size=4),
    st.sampled_from([0, 0.4, 0.9]),
    st.integers(0, 99),
)
def test_frames_of_a_wrong_length_leave_nothing(inputs, rows, arrays, lengths, idle, seed):
    config, rng = make(inputs, rows, 3, arrays), np.random.default_rng(seed)
    beats, words = frame_and_words(config, rng)
    wrong = [rng.integers(0, 1 << config.frame_bits, n).tolist() for n in lengths if n != len(beats)]
    host = run(config, [*wrong, beats], lambda: bool(rng.random() < idle))
    assert host.memory == words
    assert host.dropped == len(wrong)
    assert not host.beats


def test_frames_follow_one_another():
    """What a frame leaves behind, in registers and lines, is not in the next one."""
    window = WindowPacking((2, 4, 5), 3, 1, 1, 1, 5, rows=3, top=1, height=4)
    config = make([RawInput(window, -3), RawInput(single_pixels((2, 1, 3)), 7)], 4, 4)
    frames = [frame_and_words(config, np.random.default_rng(seed)) for seed in range(3)]
    packer, hosts = Packer(config), [Host(config, [beats]) for beats, _ in frames]
    ends = [0]

    def step(cycle, seen):
        if hosts[len(ends) - 1].done is not None:
            ends.append(cycle)
        if len(ends) > len(hosts):
            return None
        return hosts[len(ends) - 1].step(cycle - ends[-1], seen)

    interact(packer, step, OUTPUTS, lambda cycle, seen: hosts[len(ends) - 1].after(cycle - ends[-1], seen))
    for host, (_, words) in zip(hosts, frames, strict=True):
        assert host.memory == words


@pytest.mark.parametrize(
    ("size", "first", "length", "last", "stride", "windows"),
    [(7, 2, 3, 6, 2, 3), (1, 0, 1, 0, 1, 1), (9, 0, 4, 5, 5, 2), (6, 5, 1, 2, 1, 3), (8, 1, 7, 4, 3, 1)],
)
def test_the_marks_of_an_axis(size, first, length, last, stride, windows):
    names = ("position", "inside", "ends", "due", "wraps")
    rng = np.random.default_rng(size)
    steps = [{"step": int(value), "begin": 0} for value in rng.integers(0, 2, 60)]
    due = {last - number * stride for number in range(windows)}
    position = 0
    for given_, row in zip(steps, trace(Axis(size, first, length, last, stride, windows), steps, names)):
        inside = range(first, first + length)
        marks = (position in inside, position == inside[-1], position in due, position == size - 1)
        assert row == dict(zip(names, (position, *map(int, marks))))
        position = (position + given_["step"]) % size
