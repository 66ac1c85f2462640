"""The register file as a host reads it."""

from types import SimpleNamespace

import numpy as np
import pytest
from hwquant_testing.clocked import trace

from hwquant.driver.connection import Connection
from hwquant.link.protocol import Request, Status
from hwquant.link.session import Response
from hwquant.program.config import ArrayConfig
from hwquant.program.registers import IDENTITY, VERSION, MemoryRegister, Register
from hwquant.rtl_templates.registers import RegisterFile

CONFIG = ArrayConfig(5, 12)
EVENTS = ("run.begin", "run.done", "run.illegal", "frames.received", "frames.sending", "frames.dropped")
QUIET = dict.fromkeys((*EVENTS, "bus.write", "bus.address", "bus.write_data"), 0)


def play(steps):
    """Register contents and ``enable`` in every cycle; each step names what is not zero in it."""
    steps = [QUIET | step for step in steps]
    columns = {}
    for register in Register:
        rows = [step if step["bus.write"] else step | {"bus.address": int(register)} for step in steps]
        seen = trace(RegisterFile(CONFIG, 0xCAFEBABE), rows, ["bus.read_data", "run.enable"])
        columns[register.name] = [row["bus.read_data"] for row in seen]
        columns["enable"] = [row["run.enable"] for row in seen]
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
    assert Register.SHAPE.unpack(shape) == {"rows": 5, "columns": 12, "lanes": 10, "others": 0}
    assert (shape & 255, shape >> 8 & 255, shape >> 16 & 255) == (5, 12, CONFIG.lanes)


@pytest.mark.parametrize("register", [r for r in Register if not r.writable])
def test_only_control_can_be_written(register):
    before, *_, after = zip(*play([{}, write(register, 0xFFFFFFFF), {}]).values())
    assert before == after


def test_inferences_start_by_themselves_after_reset_until_told_otherwise():
    seen = play([{}, write(Register.CONTROL, 0), {}, write(Register.CONTROL, 2), {}])
    assert seen["enable"] == [1, 1, 0, 0, 1]
    assert seen["CONTROL"][0::2] == [2, 0, 2]


def test_a_start_is_for_one_inference():
    steps = [
        write(Register.CONTROL, 0),
        {},
        write(Register.CONTROL, 1),
        {},
        {"run.begin": 1},
        {},
        {"run.done": 1},
        {},
    ]
    seen = play(steps)
    assert seen["enable"] == [1, 0, 0, 1, 1, 0, 0, 0]
    assert [value & 1 for value in seen["STATUS"]][3:] == [0, 0, 1, 1, 0]
    assert seen["INFERENCES"][-2:] == [0, 1]


def test_a_start_that_comes_with_the_beginning_of_an_inference_is_not_lost():
    steps = [
        write(Register.CONTROL, 1),
        {},
        write(Register.CONTROL, 1) | {"run.begin": 1},
        {},
        {"run.begin": 1},
        {},
    ]
    assert play(steps)["enable"] == [1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_cycles_are_counted_from_the_last_input_word_to_the_output(seed):
    rng = np.random.default_rng(seed)
    steps = [{}]
    for _ in range(5):
        steps += [{}] * int(rng.integers(0, 4))
        for _ in range(rng.integers(1, 3)):  # of two inputs, the later one counts
            wait = int(rng.integers(1, 9))
            steps += [{"frames.received": 1}, *[{}] * wait]
        steps += [{"frames.sending": 1}, *[{}] * int(rng.integers(1, 5))]
        assert play(steps)["CYCLES"][-1] == wait + 1
    assert play([{"frames.received": 1}, {"frames.sending": 1}, {}, {}])["CYCLES"] == [0, 0, 1, 1]


def test_status_counts_dropped_frames_and_shows_an_illegal_instruction():
    seen = play(
        [{"frames.dropped": 1}, {}, {"frames.dropped": 1}, {"frames.dropped": 1}, {"run.illegal": 1}, {}]
    )["STATUS"]
    assert [value >> 8 for value in seen] == [0, 1, 1, 2, 3, 3]
    assert [value >> 1 & 1 for value in seen] == [0, 0, 0, 0, 1, 0]


def test_dropped_frames_are_counted_beyond_a_byte():
    rows = [QUIET | {"frames.dropped": 1, "bus.address": int(Register.STATUS)}] * 600
    seen = trace(RegisterFile(CONFIG, 0), rows, ["bus.read_data"])
    assert [row["bus.read_data"] >> 8 for row in seen] == list(range(600))


@pytest.mark.parametrize("seed", range(4))
def test_every_field_shows_what_has_happened(seed):
    """The gateware against a count of the events, through the table that the driver reads with."""
    rng = np.random.default_rng(seed)
    steps = [{name: int(rng.random() < 0.3) for name in (*EVENTS, "missing")} for _ in range(60)]
    repeat, loads = int(rng.integers(2)), int(rng.integers(1, 1 << 20))
    control = write(Register.CONTROL, Register.CONTROL.pack(start=0, repeat=repeat))
    rows = [QUIET | {"missing": 0} | step for step in (control, *steps)]
    busy = start = cycles = counting = 0
    for step in steps:
        start = start and not step["run.begin"]
        busy = int(step["run.begin"] or (busy and not step["run.done"]))
        cycles = 0 if step["frames.received"] else cycles + counting
        counting = int((counting or step["frames.received"]) and not step["frames.sending"])
    now = steps[-1] | {"run.illegal": 1, "missing": 1}
    expected = {
        Register.IDENTITY: {"identity": IDENTITY},
        Register.VERSION: {"version": VERSION},
        Register.CHECKSUM: {"checksum": 0xCAFEBABE},
        Register.CONTROL: {"start": 0, "repeat": repeat},
        Register.STATUS: {
            "busy": busy,
            "illegal": 1,
            "dropped": sum(step["frames.dropped"] for step in steps),
        },
        Register.CYCLES: {"cycles": cycles},
        Register.INFERENCES: {"inferences": sum(step["run.done"] for step in steps)},
        Register.SHAPE: {"rows": CONFIG.rows, "columns": CONFIG.columns, "lanes": CONFIG.lanes, "others": 0},
        Register.LOAD: {"words": loads},
    }
    assert set(expected) == set(Register)
    for register, fields in expected.items():
        last = QUIET | now | {"bus.address": int(register)}
        seen = trace(RegisterFile(CONFIG, 0xCAFEBABE, loads), [*rows, last], ["bus.read_data"])
        assert register.unpack(seen[-1]["bus.read_data"]) == fields, register.name
        assert register.pack(**fields) == seen[-1]["bus.read_data"], "and nothing between the fields"


def test_the_driver_reads_of_the_gateware_what_it_was_made_for():
    """The driver's own requests, answered by the register file."""
    program = SimpleNamespace(config=CONFIG, checksum=0xCAFEBABE)

    def request(request, payload):
        assert request is Request.PEEK
        rows = [QUIET | {"bus.address": payload[0]}]
        (seen,) = trace(RegisterFile(CONFIG, program.checksum), rows, ["bus.read_data"])
        return Response(Status.OK, 0, seen["bus.read_data"].to_bytes(4, "little"))

    network = SimpleNamespace(inputs=(), outputs=())
    connection = Connection(SimpleNamespace(request=request), network, program)
    identity = connection.identity()
    identity.check(program, "a link")
    assert (identity.rows, identity.columns, identity.lanes) == (5, 12, CONFIG.lanes)
    assert connection.cycles() == 0


OUTSIDE = ArrayConfig(5, 4, external_bits=32, external_address_bits=12)


def play_outside(steps):
    """The registers of external memory, whether an inference may begin, and the page, in every cycle."""
    names = (*QUIET, "held", "error")
    columns = {"enable": [], "base": []}
    for register in MemoryRegister:
        rows = [dict.fromkeys(names, 0) | step for step in steps]
        rows = [row if row["bus.write"] else row | {"bus.address": int(register)} for row in rows]
        seen = trace(RegisterFile(OUTSIDE, 0), rows, ["bus.read_data", "run.enable", "base"])
        columns[register.name] = [row["bus.read_data"] for row in seen]
        columns["enable"], columns["base"] = ([row[name] for row in seen] for name in ("run.enable", "base"))
    return columns


def test_no_inference_begins_before_the_place_of_the_memory_is_known():
    seen = play_outside(
        [{}, {}, write(MemoryRegister.MEMORY, 0xABCDEFFF), {}, write(Register.CONTROL, 0), {}]
    )
    assert seen["enable"] == [0, 0, 0, 1, 1, 0]
    assert seen["base"] == [0, 0, 0, 0xABCDE, 0xABCDE, 0xABCDE]
    assert seen["MEMORY"][3] == 0xABCDE000


def test_an_error_of_the_memory_stays_until_the_register_is_written():
    """A host that sends frames ahead reads it when later inferences have begun."""
    clear = write(MemoryRegister.MEMORY, 0x1000)
    seen = play_outside(
        [{}, {"error": 1}, {}, {"run.done": 1}, {"run.begin": 1}, clear, {}, {**clear, "error": 1}, {}]
    )
    assert [value & 1 for value in seen["MEMORY"]] == [0, 0, 1, 1, 1, 1, 0, 0, 1]


def test_cycles_are_counted_in_which_instructions_wait_between_input_and_output():
    held = {"held": 1}
    steps = [
        held,
        {"frames.received": 1, **held},
        held,
        {},
        held,
        held,
        {"frames.sending": 1, **held},
        held,
        {},
    ]
    seen = play_outside(steps)
    assert seen["STALLED"] == [0, 0, 0, 1, 1, 2, 3, 4, 4]
    again = play_outside([*steps, {"frames.received": 1}, {}])
    assert again["STALLED"][-1] == 0


def test_where_the_memory_is_may_be_known_from_reset_on():
    (row,) = trace(RegisterFile(OUTSIDE, 0, page=77), [{}], ["run.enable", "base"])
    assert (row["run.enable"], row["base"]) == (1, 77)
