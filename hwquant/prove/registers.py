"""Claims of the register file: what a host reads is what happened, and what it writes is what may begin."""

from __future__ import annotations

from amaranth.hdl import Mux, Signal, Value

from hwquant.program.config import ArrayConfig
from hwquant.program.registers import IDENTITY, REGISTER_BITS, VERSION, MemoryRegister, Register
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.ports import BASE_BITS
from hwquant.rtl_templates.registers import RegisterFile

CHECKSUM, LOADS = 0xC0FFEE01, 77
"""Any numbers."""


def register_file(config: ArrayConfig, name: str) -> Claim:
    """Every register reads what its description says."""
    outside = config.external_bits > 0

    def build(harness: Harness) -> None:
        dut = harness.component(RegisterFile(config, CHECKSUM, LOADS))
        m, always, bus, run, frames = harness.m, harness.always, dut.bus, dut.run, dut.frames
        start, repeat, busy, counting = (
            Signal(name=f"wanted_{mark}", init=mark == "repeat")
            for mark in ("start", "repeat", "busy", "counting")
        )
        cycles, inferences = (
            Signal(REGISTER_BITS, name=f"wanted_{name}") for name in ("cycles", "inferences")
        )
        dropped = Signal(Register.STATUS.field("dropped").width, name="wanted_dropped")
        controls = bus.write & (bus.address == Register.CONTROL)
        # A host's write wins over what happens in its cycle; of an inference that ends as one begins, the latter.
        m.d.sync += [
            start.eq(Mux(controls, bus.write_data[0], start & ~run.begin)),
            repeat.eq(Mux(controls, bus.write_data[1], repeat)),
            busy.eq(run.begin | (busy & ~run.done)),
            counting.eq(~frames.sending & (frames.received | counting)),
            cycles.eq(Mux(frames.received, 0, cycles + counting)),
            inferences.eq(inferences + run.done),
            dropped.eq(dropped + frames.dropped),
        ]
        enabled = (start | repeat) & ~dut.missing
        lanes = config.lanes << 16 | config.columns << 8 | config.rows
        reads: dict[int, Value | int] = {
            Register.IDENTITY: IDENTITY,
            Register.VERSION: VERSION,
            Register.CHECKSUM: CHECKSUM,
            Register.CONTROL: start | repeat << 1,
            Register.STATUS: busy | run.illegal << 1 | dropped << 8,
            Register.CYCLES: cycles,
            Register.INFERENCES: inferences,
            Register.SHAPE: lanes | (config.arrays - 1) << 24,
            Register.LOAD: Mux(dut.missing, LOADS, 0),
        }
        registers = {
            "start": start,
            "repeat": repeat,
            "busy": busy,
            "counting": counting,
            "cycles": cycles,
            "inferences": inferences,
            "dropped": dropped,
        }
        if outside:
            placed, error = Signal(name="wanted_placed"), Signal(name="wanted_error")
            page, stalled = (
                Signal(BASE_BITS, name="wanted_page"),
                Signal(REGISTER_BITS, name="wanted_stalled"),
            )
            places = bus.write & (bus.address == MemoryRegister.MEMORY)
            m.d.sync += [
                placed.eq(placed | places),
                error.eq(dut.error | (error & ~places)),
                page.eq(Mux(places, bus.write_data[-BASE_BITS:], page)),
                stalled.eq(Mux(frames.received, 0, stalled + (counting & dut.held))),
            ]
            enabled &= placed
            always(dut.base == page)
            reads |= {MemoryRegister.MEMORY: error | page << 12, MemoryRegister.STALLED: stalled}
            registers |= {"placed": placed, "failed": error, "page": page, "stalled": stalled}
        always(run.enable == enabled)
        for number in range(1 << len(bus.address)):
            always((bus.address != number) | (bus.read_data == reads.get(number, 0)))
        for inside, wanted in registers.items():
            harness.lemma(harness.inside(inside, wanted.shape()) == wanted)

    return Claim(
        f"RegisterFile: {name}",
        "an inference may begin while the host wants one, or many, and nothing is missing; every address reads what "
        "its register is: who the core is, and how often and for how long what it counts has happened",
        build,
        Method.INDUCTION,
        3,
    )


SMALL = ArrayConfig(2, 2, activation_depth=8, weight_depth=8, parameter_depth=4, accumulator_depth=4)

CLAIMS = (
    register_file(SMALL, "2x2"),
    register_file(ArrayConfig(2, 3, external_bits=32, external_address_bits=12), "2x3 with external memory"),
)
"""With and without the registers of external memory."""
