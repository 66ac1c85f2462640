"""The register file as a host reads it."""

import numpy as np
import pytest
from hwquant_testing.clocked import trace

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.registers import IDENTITY, VERSION, Register, RegisterFile

CONFIG = ArrayConfig(5, 12)
EVENTS = ("begin", "done", "input_done", "output_start", "illegal", "framing")
QUIET = dict.fromkeys((*EVENTS, "bus.write", "bus.address", "bus.write_data"), 0)


def play(steps):
    """Register contents and ``enable`` in every cycle; each step names what is not zero in it."""
    steps = [QUIET | step for step in steps]
    columns = {}
    for register in Register:
        rows = [step if step["bus.write"] else step | {"bus.address": int(register)} for step in steps]
        seen = trace(RegisterFile(CONFIG, 0xCAFEBABE), rows, ["bus.read_data", "enable"])
        columns[register.name] = [row["bus.read_data"] for row in seen]
        columns["enable"] = [row["enable"] for row in seen]
    return columns


def write(register, value):
    return {"bus.write": 1, "bus.address": int(register), "bus.write_data": value}


def test_identity_names_design_version_program_and_shape():
    seen = play([{}])
    assert seen["IDENTITY"] == [IDENTITY]
    assert IDENTITY.to_bytes(4, "big") == b"HWQ1"
    assert seen["VERSION"] == [VERSION]
    assert seen["CHECKSUM"] == [0xCAFEBABE]
    shape = seen["SHAPE"][0]
    assert (shape & 255, shape >> 8 & 255, shape >> 16 & 255) == (5, 12, CONFIG.lanes) == (5, 12, 10)


@pytest.mark.parametrize("register", [r for r in Register if r is not Register.CONTROL])
def test_only_control_can_be_written(register):
    before, *_, after = zip(*play([{}, write(register, 0xFFFFFFFF), {}]).values())
    assert before == after


def test_starts_by_itself_after_reset_until_told_otherwise():
    seen = play([{}, write(Register.CONTROL, 0), {}, write(Register.CONTROL, 2), {}])
    assert seen["enable"] == [1, 1, 0, 0, 1]
    assert seen["CONTROL"][0::2] == [2, 0, 2]


def test_a_start_is_for_one_inference():
    steps = [
        write(Register.CONTROL, 0),
        {},
        write(Register.CONTROL, 1),
        {},
        {"begin": 1},
        {},
        {"done": 1},
        {},
    ]
    seen = play(steps)
    assert seen["enable"] == [1, 0, 0, 1, 1, 0, 0, 0]
    assert [value & 1 for value in seen["STATUS"]][3:] == [0, 0, 1, 1, 0]
    assert seen["INFERENCES"][-2:] == [0, 1]


def test_a_start_that_comes_with_the_beginning_of_an_inference_is_not_lost():
    steps = [write(Register.CONTROL, 1), {}, write(Register.CONTROL, 1) | {"begin": 1}, {}, {"begin": 1}, {}]
    assert play(steps)["enable"] == [1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_cycles_are_counted_from_the_last_input_word_to_the_output(seed):
    rng = np.random.default_rng(seed)
    steps = [{}]
    for _ in range(5):
        steps += [{}] * int(rng.integers(0, 4))
        for _ in range(rng.integers(1, 3)):  # of two inputs, the later one counts
            wait = int(rng.integers(1, 9))
            steps += [{"input_done": 1}, *[{}] * wait]
        steps += [{"output_start": 1}, *[{}] * int(rng.integers(1, 5))]
        assert play(steps)["CYCLES"][-1] == wait + 1
    assert play([{"input_done": 1}, {"output_start": 1}, {}, {}])["CYCLES"] == [0, 0, 1, 1]


def test_status_counts_dropped_frames_and_shows_an_illegal_instruction():
    seen = play([{"framing": 1}, {}, {"framing": 1}, {"framing": 1}, {"illegal": 1}, {}])["STATUS"]
    assert [value >> 8 for value in seen] == [0, 1, 1, 2, 3, 3]
    assert [value >> 1 & 1 for value in seen] == [0, 0, 0, 0, 1, 0]


def test_dropped_frames_are_counted_beyond_a_byte():
    rows = [QUIET | {"framing": 1, "bus.address": int(Register.STATUS)}] * 600
    seen = trace(RegisterFile(CONFIG, 0), rows, ["bus.read_data"])
    assert [row["bus.read_data"] >> 8 for row in seen] == list(range(600))
