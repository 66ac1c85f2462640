"""The sequencer against an interpreter of its instructions, in surroundings that keep it waiting."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hwquant_testing.clocked import interact

from hwquant.program.config import ArrayConfig
from hwquant.program.cycles import FETCH_CYCLES
from hwquant.program.isa import Instruction, Opcode, encode, fields
from hwquant.rtl_templates.sequencer import Sequencer

CONFIG = ArrayConfig(4, 8, activation_depth=500, accumulator_depth=100, program_depth=256, weight_packing=4)
FORMATS = fields(CONFIG)
SETTINGS = (Opcode.LEVEL, Opcode.PLANE, Opcode.WRITE, Opcode.CLAMP)
OUTPUTS = (
    "jobs.valid",
    "jobs.ready",
    "jobs.payload",
    "geometry",
    "write",
    "clamp",
    "transfer.receive",
    "transfer.send",
    "transfer.words",
    "run.begin",
    "run.done",
    "run.illegal",
)


def instruction(rng, opcode, **values):
    """An instruction with random values in all fields that are not given."""
    drawn = {}
    for item in FORMATS[opcode]:
        low = -(1 << (item.width - 1)) if item.signed else 0
        drawn[item.name] = int(rng.integers(low, low + (1 << item.width)))
    return Instruction(opcode, drawn | values)


def random_program(rng, length):
    """Input, settings, tiles (some repeated), output, end; the first tile takes all settings."""
    program = [instruction(rng, Opcode.LEVEL, level=level) for level in range(4)]
    program += [instruction(rng, opcode) for opcode in (Opcode.PLANE, Opcode.WRITE, Opcode.CLAMP)]
    program += [
        instruction(rng, opcode) for opcode in (Opcode.OFFSET, Opcode.FORMAT, Opcode.COUNT, Opcode.INPUT)
    ]
    program.append(instruction(rng, Opcode.TILE, layer=1))
    weights = {Opcode.TILE: 8, Opcode.REPEAT: 2} | dict.fromkeys(
        (Opcode.COUNT, Opcode.OFFSET, Opcode.FORMAT, *SETTINGS), 1
    )
    while len(program) < length:
        opcode = Opcode(rng.choice(list(weights), p=np.array(list(weights.values())) / sum(weights.values())))
        if opcode is Opcode.REPEAT:
            program.append(instruction(rng, opcode, count=int(rng.choice([0, 1, 2, 3, 9]))))
            opcode = Opcode.TILE
        flags = (
            {flag: int(rng.random() < 0.3) for flag in ("source", "layer")} if opcode is Opcode.TILE else {}
        )
        program.append(instruction(rng, opcode, **flags))
    program += [instruction(rng, Opcode.OUTPUT) for _ in range(rng.integers(1, 3))]
    return [*program, Instruction(Opcode.END, {})]


@dataclass
class Registers:
    """What SET instructions have left behind."""

    levels: list = field(default_factory=lambda: [None] * 4)
    plane: dict | None = None
    write: dict | None = None
    clamp: dict | None = None
    offset: int = 0
    count: int = 0
    format: dict | None = None


def interpret(program):
    """The events of one inference, in order: ("job", payload, registers that it takes or None), transfers, end."""
    registers, repeat = Registers(), None
    for item in program:
        values = dict(item.values)
        match item.opcode:
            case Opcode.LEVEL:
                registers.levels[values.pop("level")] = values
            case Opcode.PLANE:
                registers.plane = values
            case Opcode.WRITE:
                registers.write = values
            case Opcode.CLAMP:
                registers.clamp = values
            case Opcode.OFFSET:
                registers.offset = values["offset"]
            case Opcode.FORMAT:
                registers.format = values
            case Opcode.COUNT:
                registers.count = values["count"]
            case Opcode.REPEAT:
                repeat = values
            case Opcode.TILE:
                times, step = (repeat["count"] + 1, repeat["step"]) if repeat else (1, 0)
                repeat = None
                for number in range(times):
                    job = values | {"count": registers.count, "offset": registers.offset}
                    job["format"] = registers.format
                    job["address"] = (values["address"] + number * step) % 512
                    if number:
                        job |= dict.fromkeys(("first", "parameters", "offsets", "source", "layer"), 0)
                    if number < times - 1:
                        job["last"] = 0
                    taken = None
                    if job["source"] or job["layer"]:
                        taken = {"geometry": {"levels": list(registers.levels), "plane": registers.plane}}
                        if job["layer"]:
                            taken |= {"write": registers.write, "clamp": registers.clamp}
                    yield "job", job, taken
            case Opcode.INPUT:
                yield "INPUT", values | {"last": 0}, None
            case Opcode.OUTPUT:
                yield "OUTPUT", values, None
            case Opcode.END:
                yield "END", None, None


class Surroundings:
    """Dispatcher and host: accept jobs, start them later, move words for a while."""

    def __init__(self, inferences, lateness):
        self.inferences, self.late = inferences, lateness
        self.events, self.taken, self.begins, self.begun = [], [], [], []
        self.held = []  # jobs that were accepted and have not started: (cycle of the start, takes settings, layer)
        self.coming = []  # cycles in which layers that have started take the others
        self.transfer = None
        self.quiet = 0  # nothing is under way any more from this cycle on
        self.ready = 0

    def step(self, cycle, seen):
        if sum(event[0] == "END" for event in self.events) == self.inferences:
            return None
        start = self.held and self.held[0][0] <= cycle
        return {
            "run.enable": 1,
            "jobs.ready": int(cycle >= self.ready and len(self.held) < 2),
            "taken": int(bool(start and self.held[0][1])),
            "begun": int(cycle in self.coming),
            "idle": int(not self.held and cycle >= self.quiet),
            "transfer.done": int(self.transfer == cycle),
        }

    def after(self, cycle, seen):
        if self.held and self.held[0][0] <= cycle:
            _, takes, layer = self.held.pop(0)
            self.quiet = cycle + 1 + self.late()
            if self.held:
                self.held[0] = (max(self.held[0][0], cycle + 1 + self.late()), *self.held[0][1:])
            if takes:
                self.taken.append(seen["geometry"])
            if layer:
                assert not self.coming or self.coming[-1] < cycle, (
                    "one layer at a time is to take its registers"
                )
                self.coming.append(cycle + 1 + self.late())
                self.quiet = max(self.quiet, self.coming[-1])
        if cycle in self.coming:
            self.begun.append({name: seen[name] for name in ("write", "clamp")})
        if seen["jobs.valid"] and seen["jobs.ready"]:
            job = seen["jobs.payload"]
            self.events.append(("job", job))
            self.held.append((cycle + 1 + self.late(), job["source"] or job["layer"], job["layer"]))
            self.ready = cycle + 1 + self.late()
        for name, start in (("INPUT", "transfer.receive"), ("OUTPUT", "transfer.send")):
            if seen[start]:
                self.events.append((name, seen["transfer.words"]))
                if name == "OUTPUT":
                    assert not self.held
                    assert cycle >= self.quiet, "an output leaves only when everything is written"
                self.transfer = cycle + 1 + self.late()
        if seen["run.begin"]:
            self.begins.append(cycle)
        if seen["run.done"]:
            self.events.append(("END", None))


def words(program):
    return [encode(item, FORMATS) for item in program]


def run(program, inferences, lateness):
    surroundings = Surroundings(inferences, lateness)
    history = interact(
        Sequencer(CONFIG, words(program)),
        surroundings.step,
        OUTPUTS,
        after=surroundings.after,
        cycles=5_000,
    )
    return surroundings, history


def lateness(seed, chance):
    rng = np.random.default_rng((seed, 1))
    return lambda: int(rng.integers(1, 25)) if rng.random() < chance else 0


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("seed", range(4))
def test_programs_are_executed_in_order_again_and_again(seed, chance):
    rng = np.random.default_rng(seed)
    program = random_program(rng, 60)
    surroundings, _ = run(program, 3, lateness(seed, chance))
    expected = list(interpret(program)) * 3
    assert len(surroundings.events) == len(expected)
    for number, (got, wanted) in enumerate(zip(surroundings.events, expected)):
        assert got == wanted[:2], f"event {number}"
    assert len(surroundings.begins) == 3


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("seed", range(4, 8))
def test_a_job_takes_the_settings_that_came_before_it(seed, chance):
    """However late it starts, and whatever instructions follow it."""
    program = random_program(np.random.default_rng(seed), 80)
    surroundings, _ = run(program, 1, lateness(seed, chance))
    wanted = [event[2] for event in interpret(program) if event[2]]
    assert len(wanted) > 5
    assert surroundings.taken == [taken["geometry"] for taken in wanted]
    layers = [{name: taken[name] for name in ("write", "clamp")} for taken in wanted if "write" in taken]
    assert len(layers) > 2
    assert surroundings.begun == layers


def test_a_word_is_executed_each_cycle_where_nothing_waits():
    rng = np.random.default_rng(0)
    opcodes = [Opcode.LEVEL, Opcode.COUNT, Opcode.PLANE, Opcode.OFFSET, Opcode.WRITE, Opcode.CLAMP] * 5
    program = [*(instruction(rng, opcode) for opcode in opcodes), Instruction(Opcode.END, {})]
    surroundings, history = run(program, 3, lambda: 0)
    ends = [cycle for cycle, row in enumerate(history) if row["run.done"]]
    for begin, end in zip(surroundings.begins, ends):
        assert end - begin == FETCH_CYCLES + len(program) - 1
    assert [begin - end for end, begin in zip(ends, surroundings.begins[1:])] == [1, 1]


@pytest.mark.parametrize("waits", [0, 1, 2, 7])
def test_an_output_starts_once_when_everything_is_written(waits):
    """The pipeline becomes idle so many cycles after the instruction is there; then a transfer takes a while."""
    program = [instruction(np.random.default_rng(4), Opcode.OUTPUT), Instruction(Opcode.END, {})]
    idle = FETCH_CYCLES + waits
    done = idle + 5

    def step(cycle, seen):
        if cycle > done + 3:
            return None
        return {"run.enable": 1, "idle": int(cycle >= idle), "transfer.done": int(cycle == done)}

    history = interact(Sequencer(CONFIG, words(program)), step, OUTPUTS)
    assert [cycle for cycle, row in enumerate(history) if row["transfer.send"]] == [idle]
    assert [cycle for cycle, row in enumerate(history) if row["run.done"]] == [done + 1]


def test_settings_wait_for_the_job_that_takes_the_ones_before():
    """With nothing pending, the second CLAMP would be executed at once."""
    rng = np.random.default_rng(1)
    clamp = {"low": 1, "high": 2, "zero": 3}
    program = [
        instruction(rng, Opcode.CLAMP, **clamp),
        instruction(rng, Opcode.TILE, source=0, layer=1),
        instruction(rng, Opcode.COUNT),
        instruction(rng, Opcode.CLAMP, low=4, high=5, zero=6),
        Instruction(Opcode.END, {}),
    ]
    surroundings, history = run(program, 1, lambda: 30)
    assert surroundings.begun[0]["clamp"] == clamp
    taken = next(cycle for cycle, row in enumerate(history) if row["clamp"]["low"] == 4) - 1
    accepted = next(cycle for cycle, row in enumerate(history) if row["jobs.valid"] and row["jobs.ready"])
    assert taken > accepted + 2 * 30


def test_two_jobs_may_take_the_same_settings():
    """The second waits for the first, so that the settings after it wait for the second."""
    rng = np.random.default_rng(1)
    clamp = {"low": 1, "high": 2, "zero": 3}
    program = [
        instruction(rng, Opcode.CLAMP, **clamp),
        instruction(rng, Opcode.TILE, layer=1),
        instruction(rng, Opcode.TILE, layer=1),
        instruction(rng, Opcode.CLAMP, low=4, high=5, zero=6),
        Instruction(Opcode.END, {}),
    ]
    for late in range(12):
        surroundings, _ = run(program, 1, lambda late=late: late)
        assert [begun["clamp"] for begun in surroundings.begun] == [clamp, clamp]


def test_a_tile_is_offered_unchanged_until_it_is_accepted():
    rng = np.random.default_rng(2)
    program = [
        instruction(rng, Opcode.COUNT),
        instruction(rng, Opcode.REPEAT, count=20),
        instruction(rng, Opcode.TILE, source=1),
        instruction(rng, Opcode.OFFSET),
        instruction(rng, Opcode.TILE, source=0, layer=0),
        Instruction(Opcode.END, {}),
    ]
    _, history = run(program, 1, lateness(3, 0.8))
    stalls = 0
    for row, following in pairwise(history):
        if row["jobs.valid"] and not row["jobs.ready"]:
            stalls += 1
            assert following["jobs.valid"]
            assert following["jobs.payload"] == row["jobs.payload"]
    assert stalls > 20


@pytest.mark.parametrize("count", [4095, 4094])
def test_the_longest_repetition_is_executed_to_its_end(count):
    rng = np.random.default_rng(3)
    tile = instruction(rng, Opcode.TILE, address=3, last=1, first=1)
    program = [
        instruction(rng, Opcode.REPEAT, count=count, step=5),
        tile,
        instruction(rng, Opcode.TILE, address=9, last=1),
        Instruction(Opcode.END, {}),
    ]
    sequencer = Sequencer(CONFIG, words(program))
    jobs = []

    def step(cycle, seen):
        return None if seen["run.done"] else {"run.enable": 1, "jobs.ready": 1, "taken": 1}

    def after(cycle, seen):
        if seen["jobs.valid"]:
            jobs.append(seen["jobs.payload"])

    interact(sequencer, step, ("run.done", "jobs.valid", "jobs.payload"), after)
    assert [job["address"] for job in jobs] == [(3 + 5 * n) % 512 for n in range(count + 1)] + [9]
    assert [job["first"] for job in jobs[: count + 1]] == [1] + [0] * count
    assert [job["last"] for job in jobs[: count + 1]] == [0] * count + [1]


def test_an_inference_begins_only_when_enabled():
    sequencer = Sequencer(CONFIG, words([Instruction(Opcode.END, {})]))
    enable = [0] * 5 + [1] + [0] * 10 + [1] * 12
    history = []

    def step(cycle, seen):
        return {"run.enable": enable[cycle]} if cycle < len(enable) else None

    interact(sequencer, step, ("run.begin", "run.done"), lambda cycle, seen: history.append(seen))
    begins = [cycle for cycle, row in enumerate(history) if row["run.begin"]]
    ends = [cycle for cycle, row in enumerate(history) if row["run.done"]]
    assert begins == [5, 16, 16 + FETCH_CYCLES + 1, 16 + 2 * (FETCH_CYCLES + 1)]
    assert ends == [begin + FETCH_CYCLES for begin in begins]


@pytest.mark.parametrize("opcode", range(max(FORMATS) + 1, 16))
def test_an_unknown_opcode_stops_execution_for_good(opcode):
    rng = np.random.default_rng(opcode)
    program = [
        *words([instruction(rng, Opcode.COUNT)]),
        opcode,
        *words([instruction(rng, Opcode.TILE), Instruction(Opcode.END, {})]),
    ]
    sequencer = Sequencer(CONFIG, program)

    def step(cycle, seen):
        return {"run.enable": 1, "jobs.ready": 1, "taken": 1} if cycle < 40 else None

    history = interact(sequencer, step, ("run.begin", "run.done", "run.illegal", "jobs.valid"))
    first = FETCH_CYCLES + 2  # the cycle after the one that executes the second word
    assert [row["run.illegal"] for row in history] == [0] * first + [1] * (40 - first)
    assert [cycle for cycle, row in enumerate(history) if row["run.begin"]] == [0]
    assert not any(row["jobs.valid"] or row["run.done"] for row in history)
