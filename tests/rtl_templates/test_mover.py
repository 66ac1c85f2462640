"""The mover in front of a simulated memory: what it moves, when, and what it waits for."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, connect
from hwquant_testing.clocked import simulate

from hwquant.program.config import ArrayConfig
from hwquant.program.external import BURST, MemoryTiming
from hwquant.program.isa import MoveKind, program_bits
from hwquant.program.moving import MoverModel, bursts, move_beats
from hwquant.rtl_templates.mover import Mover
from hwquant.sim.external_memory import SimulatedMemory, settings_of

TIMINGS = {
    "quick": MemoryTiming(latency=1, gap=0, outstanding=8),
    "one at a time": MemoryTiming(latency=7, gap=1, outstanding=1),
    "plain": MemoryTiming(),
    "refreshed": MemoryTiming(latency=11, gap=3, outstanding=3, refresh_interval=103, refresh_cycles=17),
    "rows": MemoryTiming(latency=11, gap=8, outstanding=3, refresh_interval=153, refresh_cycles=41, row=128),
}


def config(bits, half_depth=128, **more):
    return ArrayConfig(
        *(3, 5),
        weight_slot_bits=7,
        weight_bits=7,
        accumulator_bits=29,
        activation_bits=9,
        activation_depth=200,
        weight_depth=150,
        parameter_depth=64,
        external_bits=bits,
        external_address_bits=11,
        half_depth=half_depth,
        **more,
    )


class Bench(Component):
    """A mover, a simulated memory, and an activation memory that is read as the core does."""

    def __init__(self, size, contents, activations, settings):
        self.mover = Mover(size)
        self.memory = SimulatedMemory(size.external_bits, 1 << size.external_address_bits, contents, settings)
        self.activations = activations
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.mover, m.submodules.memory = self.mover, self.memory
        connect(m, self.mover.memory, self.memory.port)
        if self.mover.config.half_depth:
            m.submodules.activations = memory = Memory(
                shape=self.mover.config.word_bits, depth=len(self.activations), init=self.activations
            )
            port = memory.read_port()
            m.d.comb += [port.addr.eq(self.mover.read.address), port.en.eq(self.mover.read.advance)]
            word = Signal.like(self.mover.data)
            with m.If(self.mover.read.advance):
                m.d.sync += word.eq(port.data)
            m.d.comb += self.mover.data.eq(word)
        return m


def word_bits(size, kind):
    return {
        MoveKind.WEIGHTS: size.columns * size.slot_bits,
        MoveKind.PARAMETERS: size.parameter_bits,
        MoveKind.PROGRAM: program_bits(size),
    }.get(kind, size.word_bits)


def depth(size, kind):
    return {
        MoveKind.WEIGHTS: size.weight_depth,
        MoveKind.PARAMETERS: size.parameter_depth,
        MoveKind.PROGRAM: size.program_depth,
    }.get(kind, size.activation_depth)


def random_moves(rng, size, count):
    """Moves, tiles that take so long, and pauses."""
    kinds = [MoveKind.WEIGHTS, MoveKind.PARAMETERS]
    kinds += [MoveKind.LOAD, MoveKind.STORE] if size.half_depth else []
    kinds += [MoveKind.PROGRAM] if size.program_half else []
    for _ in range(count):
        if rng.random() < 0.5:
            yield "tile", int(rng.integers(1, size.drain_latency))
        if rng.random() < 0.3:
            yield "pause", int(rng.integers(1, 200))
        kind = kinds[rng.integers(len(kinds))]
        words = int(rng.choice([1, 2, 3, 20, 50]))
        beats = move_beats(size, kind, words)
        place = int(rng.integers(0, depth(size, kind) - words + 1))
        external = int(rng.integers(0, (1 << size.external_address_bits) - beats + 1))
        yield "move", {"kind": int(kind), "address": place, "count": words, "external": external}


WRITTEN = {0: "weights", 1: "parameters", 2: "load", 4: "program"}
"""Ports of words that are moved inside, by kind."""


class Play:
    """Issues moves and tiles, and notes what comes of them."""

    def __init__(self, bench, plan):
        self.bench, self.plan = bench, list(plan)
        self.queued, self.finished, self.offered = [], [], []
        self.complete, self.written, self.errors = [], [], 0

    async def run(self, ctx):
        mover = self.bench.mover
        finishing, issued = [], 0
        steps, pause, offered, tail = iter(self.plan), 0, None, 0
        before = now = 0
        step = next(steps)
        while step is not None or ctx.get(mover.pending) or tail < 3:
            tail = tail + 1 if step is None and not ctx.get(mover.pending) else 0
            ended = sum(time < now for time in finishing)
            ctx.set(mover.tiles, issued - ended)
            ctx.set(mover.finished, now in finishing)
            ctx.set(mover.moves.valid, 0)
            kind, value = step or ("nothing", None)
            moves = False
            if kind == "tile":
                finishing.append(max(now + value, finishing[-1] + 1 if finishing else 0))
                moves = issued - ended < 4
                if not moves:
                    finishing.pop()
                else:
                    issued += 1
            elif kind == "pause":
                pause += 1
                moves = pause == value
            elif kind == "move":
                offered = now if offered is None else offered
                ctx.set(mover.moves.valid, 1)
                ctx.set(mover.moves.payload, value)
                moves = bool(ctx.get(mover.moves.ready))
                if moves:
                    self.queued.append(now)
                    self.offered.append(offered)
                    self.finished.append(finishing[-1] if finishing else -100)
                    offered = None
            for move_kind, name in WRITTEN.items():
                port = getattr(mover, name, None)
                if port is not None and ctx.get(port.enable):
                    self.written.append((move_kind, ctx.get(port.address), ctx.get(port.data)))
            self.errors += ctx.get(mover.error)
            pending = ctx.get(mover.pending)
            accepted = len(self.queued) - (kind == "move" and moves)
            self.complete += [now - 1] * (accepted - pending - len(self.complete))
            if moves:
                step, pause = next(steps, None), 0
            await ctx.tick()
            now += 1
            assert now < 40_000, before


def expected(size, plan, contents, activations):
    """What is written inside, by the moves' definition."""
    image, written, beat = list(contents), [], size.external_bits
    for move in (value for kind, value in plan if kind == "move"):
        kind, bits = MoveKind(move["kind"]), word_bits(size, move["kind"])
        beats = size.word_beats(bits)
        for number in range(move["count"]):
            start = move["external"] + number * beats
            place = move["address"] + number
            if kind is MoveKind.STORE:
                word = activations[place]
                image[start : start + beats] = [word >> k * beat & ((1 << beat) - 1) for k in range(beats)]
            else:
                joined = sum(value << k * beat for k, value in enumerate(image[start : start + beats]))
                written.append((int(kind), place, joined & ((1 << bits) - 1)))
    return written


def play(bits, half_depth, timing, seed, *, stall=0, count=40, faulty=None, plan=None, halts=None, **more):
    rng = np.random.default_rng(seed)
    size = config(bits, half_depth, **more)
    contents = [
        int.from_bytes(rng.bytes(bits // 8), "little") for _ in range(1 << size.external_address_bits)
    ]
    activations = [
        int.from_bytes(rng.bytes(8), "little") & ((1 << size.word_bits) - 1)
        for _ in range(size.activation_depth)
    ]
    plan = list(random_moves(rng, size, count)) if plan is None else plan
    bench = Bench(size, contents, activations, settings_of(timing, stall, faulty))
    run = Play(bench, plan)
    simulate(bench, run.run, background=[halts(bench.mover)] if halts else [], cycles=45_000)
    assert run.written == expected(size, plan, contents, activations)
    return size, plan, run


@pytest.mark.parametrize("name", TIMINGS)
@pytest.mark.parametrize(
    ("bits", "half_depth", "program"),
    [(16, 128, 0), (32, 0, 0), (64, 128, 0), (128, 128, 0), (16, 128, 64), (32, 0, 32)],
)
def test_moves_move_what_they_say_and_take_as_long_as_the_model_says(name, bits, half_depth, program):
    more = {"program_half": program, "program_depth": 2 * program} if program else {}
    size, plan, run = play(bits, half_depth, TIMINGS[name], bits, **more)
    model = MoverModel(size, TIMINGS[name])
    moves = [value for kind, value in plan if kind == "move"]
    for number, move in enumerate(moves):
        assert run.queued[number] == max(run.offered[number], model.room())
        model.move(run.queued[number], run.finished[number], move["kind"], move["external"], move["count"])
    assert run.complete == model.complete
    assert run.errors == 0


@pytest.mark.parametrize("bits", [16, 64])
def test_a_memory_that_pauses_changes_no_word(bits):
    play(bits, 128, TIMINGS["plain"], 5, stall=100, count=25)


@pytest.mark.parametrize("stall", [0, 100])
def test_a_mover_that_is_halted_comes_to_rest_and_goes_on_later(stall):
    """At rest nothing is on its way, in either direction, so that it could be reset."""
    rng, rests = np.random.default_rng(8), []

    def halts(mover):
        port = mover.memory
        wires = (port.ar.valid, port.aw.valid, port.w.valid, port.r.valid, port.b.valid)

        async def run(ctx):
            while True:
                for _ in range(rng.integers(1, 150)):
                    await ctx.tick()
                ctx.set(mover.halt, 1)
                took = 0
                while not ctx.get(mover.quiet):
                    await ctx.tick()
                    took += 1
                for _ in range(150):
                    assert not any(map(ctx.get, wires))
                    assert ctx.get(mover.quiet)
                    await ctx.tick()
                rests.append(took)
                ctx.set(mover.halt, 0)

        return run

    timing = MemoryTiming(latency=70, gap=3, outstanding=4)
    play(16, 128, timing, 6, stall=stall, count=25, halts=halts)
    assert len(rests) > 5
    assert max(rests) > 70, "moves were under way"


def test_an_error_is_told_and_the_move_goes_on():
    move = {"kind": int(MoveKind.WEIGHTS), "address": 3, "count": 30, "external": 50}
    _, _, run = play(32, 0, TIMINGS["quick"], 3, faulty=60, plan=[("move", move)])
    assert run.errors == 1
    assert len(run.complete) == 1


def test_bursts_end_where_pages_can():
    for address in (0, 1, 63, 64, 100):
        for beats in (1, 63, 64, 65, 300):
            lengths = [length for _, length in bursts(address, beats)]
            assert sum(lengths) == beats
            for length in lengths:
                assert 0 < length <= BURST - address % BURST
                address += length
