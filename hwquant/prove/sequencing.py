"""Claims of the sequencer: a program is executed in order, each instruction once, whatever keeps it waiting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import Signal, Value

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Instruction, Opcode, encode, fields
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.prove.streams import holds_still
from hwquant.rtl_templates.jobs import geometry_layout, instruction_layout, job_layout
from hwquant.rtl_templates.sequencer import Sequencer

FETCH = 3
"""Cycles from the beginning of an inference to its first instruction, at most."""
ONCE = ("first", "parameters", "offsets", "source", "layer")
"""Flags of a repeated tile that belong to the first."""


@dataclass(frozen=True)
class Event:
    """Something that a program makes happen.

    Attributes
    ----------
    kind : {"receive", "send", "job", "done"}
        What it is.
    payload : int
        The words to move, or the job.
    takes : bool
        Whether a job takes the registers of a term.
    layer : bool
        Whether it takes those of a layer as well.
    registers : mapping of int
        What the double-buffered registers hold then, by name.
    """

    kind: str
    payload: int = 0
    takes: bool = False
    layer: bool = False
    registers: Mapping[str, int] = field(default_factory=dict)


def events(config: ArrayConfig, program: Sequence[Instruction]) -> Iterator[Event]:
    """Interpret a program: what it makes happen in an inference, in order."""
    levels: list[Mapping[str, int]] = [{} for _ in range(4)]
    held: dict[Opcode, Mapping[str, int]] = {}
    repeat = {"count": 0, "step": 0}

    def packed(opcode: Opcode) -> int:
        return instruction_layout(config, opcode).const(held[opcode]).as_bits()

    for item in program:
        values = item.values
        match item.opcode:
            case Opcode.INPUT | Opcode.OUTPUT:
                words = instruction_layout(config, Opcode.OUTPUT).const({**values}).as_bits()
                yield Event("receive" if item.opcode is Opcode.INPUT else "send", words)
            case Opcode.LEVEL:
                levels[values["level"]] = {name: value for name, value in values.items() if name != "level"}
            case Opcode.REPEAT:
                repeat = dict(values)
            case Opcode.TILE:
                for number in range(repeat["count"] + 1):
                    tile = {**values, **(dict.fromkeys(ONCE, 0) if number else {})}
                    tile["address"] = (values["address"] + number * repeat["step"]) % config.activation_depth
                    if number < repeat["count"]:
                        tile["last"] = 0
                    job = {
                        **tile,
                        "count": held[Opcode.COUNT]["count"],
                        "offset": held[Opcode.OFFSET]["offset"],
                    }
                    geometry = {"levels": levels, "plane": held[Opcode.PLANE]}
                    registers = {
                        "geometry": geometry_layout(config).const(geometry).as_bits(),
                        "write": packed(Opcode.WRITE),
                        "clamp": packed(Opcode.CLAMP),
                    }
                    payload = job_layout(config).const(job).as_bits()
                    layer = bool(tile["layer"])
                    yield Event("job", payload, layer or bool(tile["source"]), layer, registers)
                repeat = {"count": 0, "step": 0}
            case Opcode.END:
                yield Event("done")
            case _:
                held[item.opcode] = values


def sequencer(config: ArrayConfig, program: Sequence[Instruction], name: str) -> Claim:
    """What a program makes happen happens, in order, and soon."""
    formats = fields(config)
    expected = list(events(config, program))

    def build(harness: Harness) -> None:
        dut = harness.component(Sequencer(config, [encode(item, formats) for item in program]))
        m, always, assume = harness.m, harness.always, harness.assume
        run, transfer, job = dut.run, dut.transfer, dut.jobs.valid & dut.jobs.ready
        happens = {"receive": transfer.receive, "send": transfer.send, "job": job, "done": run.done}
        anything = transfer.receive | transfer.send | job | run.done
        at, running, moving = (
            Signal(range(len(expected))),
            Signal(name="wanted_run"),
            Signal(name="wanted_move"),
        )
        takes, layers = Signal(name="wanted_takes"), Signal(name="wanted_layers")
        registers = {
            key: Signal(len(Value.cast(getattr(dut, key))), name=f"wanted_{key}") for key in REGISTERS
        }
        # Nothing is taken, begun or moved that was not offered.
        assume(~dut.taken | takes)
        assume(~dut.begun | layers)
        assume(~transfer.done | moving)
        # Without another job all stays written.
        assume(~harness.before(dut.idle & ~job) | dut.idle)
        with m.If(run.begin):
            m.d.sync += running.eq(1)
        with m.If(run.done):
            m.d.sync += running.eq(0)
        with m.If(transfer.done):
            m.d.sync += moving.eq(0)
        with m.If(transfer.receive | transfer.send):
            m.d.sync += moving.eq(1)
        with m.If(dut.taken):
            m.d.sync += takes.eq(0)
        with m.If(dut.begun):
            m.d.sync += layers.eq(0)
        for number, event in enumerate(expected):
            here = at == number
            for kind, happening in happens.items():
                if kind != event.kind:
                    always(~(here & happening))
            payload = {"receive": transfer.words, "send": transfer.words, "job": dut.jobs.payload}.get(
                event.kind
            )
            if payload is not None:
                size = _moved(config) if event.kind == "receive" else len(Value.cast(payload))
                mask = (1 << size) - 1
                always(~(here & happens[event.kind]) | (Value.cast(payload)[:size] == event.payload & mask))
            with m.If(here & happens[event.kind]):
                m.d.sync += at.eq((number + 1) % len(expected))
                if event.takes:
                    m.d.sync += [takes.eq(1), registers["geometry"].eq(event.registers["geometry"])]
                if event.layer:
                    m.d.sync += layers.eq(1)
                    m.d.sync += [registers[key].eq(event.registers[key]) for key in ("write", "clamp")]
        always(run.begin == (run.enable & ~running))
        always(running | ~anything)
        always(~(moving & anything))
        always(~transfer.send | dut.idle)
        always(~run.illegal)
        holds_still(harness, dut.jobs)
        # Registers stay until they are taken.
        always(~takes | (Value.cast(dut.geometry) == registers["geometry"]))
        for key in ("write", "clamp"):
            always(~layers | (Value.cast(getattr(dut, key)) == registers[key]))
        # It waits for nothing else.
        waits = ~running | moving | takes | layers | ~dut.idle | (dut.jobs.valid & ~dut.jobs.ready)
        most = len(program) + FETCH
        for_nothing = Signal(range(most + 2))
        with m.If(waits | anything):
            m.d.sync += for_nothing.eq(0)
        with m.Else():
            m.d.sync += for_nothing.eq(for_nothing + 1)
        always(for_nothing <= most)

    return Claim(
        f"Sequencer: {name}",
        "a program of inputs, registers, tiles, a repeat and outputs: all of it happens in order, each once, as an "
        "interpreter of the program says, inference after inference, however long the host, the dispatcher and what is "
        "behind it take; registers hold what a job takes until it is taken; an output waits until all is written; and "
        "nothing else is waited for, so that there is no deadlock",
        build,
        Method.REACHABILITY,
        len(program),
    )


def _moved(config: ArrayConfig) -> int:
    """Bits of an input's words."""
    return sum(item.width for item in fields(config)[Opcode.INPUT])


REGISTERS = ("geometry", "write", "clamp")

SMALL = ArrayConfig(
    *(2, 2),
    activation_depth=4,
    weight_depth=8,
    parameter_depth=4,
    accumulator_depth=4,
    program_depth=32,
    coordinate_bits=2,
    activation_bits=2,
)


def _program(config: ArrayConfig) -> list[Instruction]:
    """A program of inputs, tiles, one of them repeated, and outputs, with registers that are set again."""
    formats, rng = fields(config), np.random.default_rng(1)

    def make(opcode: Opcode, **given: int) -> Instruction:
        low = {item.name: -(1 << item.width - 1) * item.signed for item in formats[opcode]}
        values = {
            item.name: int(rng.integers(low[item.name], low[item.name] + (1 << item.width)))
            for item in formats[opcode]
        }
        return Instruction(opcode, values | given)

    return [
        *(make(Opcode.LEVEL, level=1), make(Opcode.LEVEL, level=3), make(Opcode.PLANE)),
        *(
            make(Opcode.WRITE),
            make(Opcode.CLAMP),
            make(Opcode.OFFSET),
            make(Opcode.COUNT),
            make(Opcode.INPUT),
        ),
        make(Opcode.TILE, source=1, layer=1, last=1),
        *(make(Opcode.LEVEL, level=3), make(Opcode.COUNT), make(Opcode.REPEAT, count=2)),
        make(Opcode.TILE, source=1, layer=0, first=1, last=1, parameters=1, offsets=1),
        *(make(Opcode.OFFSET), make(Opcode.WRITE), make(Opcode.CLAMP), make(Opcode.TILE, source=0, layer=1)),
        *(make(Opcode.OUTPUT, last=0), make(Opcode.OUTPUT, last=1), make(Opcode.END)),
    ]


CLAIMS = (sequencer(SMALL, _program(SMALL), "a program of 20 words"),)
"""Few bits: what fields hold makes no difference to the order."""
