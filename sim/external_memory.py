"""External memory beside the accelerator, at the level of signals: the same component in every simulator."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.data import StructLayout, View
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, connect, flipped

from hwquant.program.external import MemoryTiming
from hwquant.program.program import Program
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.ports import AxiMemoryPort
from hwquant.sim.contract import Task

MOST = 64
"""Bursts that are accepted and not complete, at most."""

SETTINGS = ("latency", "gap", "outstanding", "refresh_interval", "refresh_cycles", "row", "stall", "faulty")
"""Words of the memory ``settings``, by which a simulator that is built already is changed."""


def settings_of(timing: MemoryTiming, stall: int = 0, faulty: int | None = None) -> list[int]:
    """The words of the memory ``settings``.

    Parameters
    ----------
    timing : MemoryTiming
        When the memory serves bursts.
    stall : int, default 0
        How often each channel pauses at random, 0..255 of 256 cycles.
    faulty : int, optional
        Address, in beats, that is answered with an error.
    """
    values = {"stall": stall, "faulty": 0 if faulty is None else faulty + 1}
    return [values[name] if name in values else getattr(timing, name) for name in SETTINGS]


def settings(task: Task) -> list[int]:
    """The words of the memory ``settings`` for a task."""
    return settings_of(task.memory or task.program.memory_timing, task.memory_pauses)


def hardware(program: Program, chosen: Sequence[int] | None = None) -> Accelerator | WithMemory:
    """Make what executes a program: its accelerator, and external memory where it has some.

    Parameters
    ----------
    program : Program
        What the memories hold.
    chosen : Sequence of int, optional
        What :func:`settings` gives; None: a memory as the defaults of its timing say.
    """
    if not program.config.external_bits:
        return accelerator(program)
    return WithMemory(accelerator(program, page=0), contents(program), chosen)


def contents(program: Program) -> list[int]:
    """What a program's external memory holds, in beats."""
    return [int.from_bytes(row.tobytes(), "little") for row in program.external_image]


class SimulatedMemory(Component):
    """A memory behind AXI4 that serves bursts as :class:`~hwquant.program.external.MemoryTiming` says.

    Parameters
    ----------
    data_bits : int
        Width of the port.
    depth : int
        Words of ``data_bits`` bits; addresses beyond wrap around.
    init : Sequence of int
        Contents, unsigned words.
    settings : Sequence of int, optional
        What :func:`settings_of` gives; None: as the defaults of a memory's timing say.

    Members
    -------
    port : In(AxiMemoryPort(data_bits))
        What the accelerator wants.
    begins : In(1)
        Refreshes count from this cycle.
    """

    def __init__(
        self, data_bits: int, depth: int, init: Sequence[int], settings: Sequence[int] | None = None
    ):
        self.data_bits = data_bits
        self.depth = depth
        self.init = init
        self.settings = settings_of(MemoryTiming()) if settings is None else settings
        super().__init__({"port": In(AxiMemoryPort(data_bits)), "begins": In(1)})

    def elaborate(self, platform: object) -> Module:
        """Build the queue of bursts, what serves the first of them, and what answers those that are written."""
        m = Module()
        port = self.port
        m.submodules.settings = stored = Memory(shape=32, depth=len(SETTINGS), init=self.settings)
        setting = {}
        for number, name in enumerate(SETTINGS):
            read = stored.read_port(domain="comb")
            m.d.comb += read.addr.eq(number)
            setting[name] = read.data
        noise = Signal(40, init=0x5EED5)
        m.d.sync += noise.eq(Cat(noise[39] ^ noise[37] ^ noise[20] ^ noise[18], noise))
        paused = [Signal(name=f"paused{k}") for k in range(5)]
        m.d.comb += [bit.eq(noise[7 * k :][:8] < setting["stall"]) for k, bit in enumerate(paused)]
        now = Signal(32, init=8)  # longer after any burst than a gap
        m.d.sync += now.eq(now + 1)

        # Addresses, into the queue.
        burst = StructLayout({"address": 32, "length": 8, "write": 1, "time": 32})
        unfinished, queued = Signal(range(MOST + 1)), Signal(range(MOST + 1))
        m.submodules.bursts = bursts = Memory(shape=burst.size, depth=MOST, init=[])
        put, get = bursts.write_port(), bursts.read_port(domain="comb")
        room = unfinished < setting["outstanding"]
        m.d.comb += [
            port.ar.ready.eq(room & ~paused[0]),
            port.aw.ready.eq(room & ~port.ar.valid & ~paused[1]),
        ]
        taken = port.ar.valid & port.ar.ready | port.aw.valid & port.aw.ready
        offered = Mux(port.ar.valid, port.ar.payload.as_value(), port.aw.payload.as_value())
        m.d.comb += [put.en.eq(taken), put.data.eq(Cat(offered, ~port.ar.valid, now))]
        head = View(burst, get.data)

        # The first of them: its beats, one in each cycle.
        at = Signal(8)
        serving = Signal()
        free = Signal(32)
        due = head.time + Mux(head.write, 1, setting["latency"])
        latest, wrote = Signal(32), Signal()
        word = (self.data_bits // 8).bit_length() - 1
        opened = (wrote == head.write) & ((latest ^ head.address) >> word < setting["row"])
        due_after = free + Mux(opened, 0, setting["gap"])
        begins = (queued != 0) & (now >= due) & (now >= due_after) & (~head.write | port.w.valid)
        active = Signal()
        m.d.comb += active.eq((serving | begins) & ~self._refreshing(m, setting))
        m.submodules.storage = storage = Memory(shape=self.data_bits, depth=self.depth, init=self.init)
        read, write = storage.read_port(domain="comb"), storage.write_port()
        beat = Signal(32)
        m.d.comb += [
            beat.eq((head.address >> word) + at),
            read.addr.eq(beat),
            write.addr.eq(beat),
            port.r.valid.eq(active & ~head.write & ~paused[2]),
            port.r.payload.data.eq(read.data),
            port.r.payload.last.eq(at == head.length),
            port.r.payload.resp.eq(Mux(beat + 1 == setting["faulty"], 2, 0)),
            port.w.ready.eq(active & head.write & ~paused[3]),
            write.data.eq(port.w.payload.data),
            write.en.eq(port.w.valid & port.w.ready),
        ]
        moved, ended = Signal(), Signal()
        m.d.comb += [
            moved.eq(port.r.valid & port.r.ready | write.en),
            ended.eq(moved & (at == head.length)),
        ]
        with m.If(moved):
            m.d.sync += [at.eq(Mux(ended, 0, at + 1)), serving.eq(~ended)]
        with m.If(ended):
            m.d.sync += [
                free.eq(now + 1),
                latest.eq(head.address),
                wrote.eq(head.write),
                get.addr.eq(get.addr + 1),
            ]
        with m.If(taken):
            m.d.sync += put.addr.eq(put.addr + 1)

        # Answers to what was written.
        m.submodules.answers = answers = Memory(shape=32, depth=MOST, init=[])
        note, oldest = answers.write_port(), answers.read_port(domain="comb")
        unanswered = Signal(range(MOST + 1))
        m.d.comb += [
            note.en.eq(ended & head.write),
            note.data.eq(now + setting["latency"]),
            port.b.valid.eq((unanswered != 0) & (now >= oldest.data) & ~paused[4]),
        ]
        with m.If(note.en):
            m.d.sync += note.addr.eq(note.addr + 1)
        with m.If(port.b.valid & port.b.ready):
            m.d.sync += oldest.addr.eq(oldest.addr + 1)
        answered = port.b.valid & port.b.ready
        m.d.sync += [
            queued.eq(queued + taken - ended),
            unanswered.eq(unanswered + note.en - answered),
            unfinished.eq(unfinished + taken - (ended & ~head.write) - answered),
        ]
        return m

    def _refreshing(self, m: Module, setting: dict[str, Value]) -> Value:
        """Tell whether this cycle is one of a refresh."""
        phase, first, counting = Signal(32), Signal(), Signal()
        current, fresh = Mux(self.begins, 0, phase), self.begins | first
        wraps = current + 1 == setting["refresh_interval"]
        with m.If(self.begins | counting):
            m.d.sync += [counting.eq(1), phase.eq(Mux(wraps, 0, current + 1)), first.eq(fresh & ~wraps)]
        return counting & ~fresh & (current < setting["refresh_cycles"])


class WithMemory(Component):
    """An accelerator with a simulated memory at its port: it has the ports of one without external memory.

    Parameters
    ----------
    accelerator : Accelerator
        The accelerator, whose page is 0.
    init : Sequence of int
        Contents of the memory, in beats.
    settings : Sequence of int, optional
        What :func:`settings_of` gives.
    """

    def __init__(
        self, accelerator: Accelerator, init: Sequence[int] = (), settings: Sequence[int] | None = None
    ):
        self.accelerator = accelerator
        config = accelerator.config
        self.memory = SimulatedMemory(config.external_bits, 1 << config.external_address_bits, init, settings)
        members = accelerator.signature.members
        super().__init__({name: members[name] for name in members if name not in ("memory", "begins")})

    def elaborate(self, platform: object) -> Module:
        """Connect the two."""
        m = Module()
        m.submodules.accelerator = accelerator = self.accelerator
        m.submodules.external = self.memory
        connect(m, accelerator.memory, self.memory.port)
        m.d.comb += self.memory.begins.eq(accelerator.begins)
        for name in self.signature.members:
            mine, inner = flipped(getattr(self, name)), getattr(accelerator, name)
            connect(m, mine, inner)
        return m
