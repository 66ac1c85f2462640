"""The buses of an AXI core in cocotbext-axi, and their pauses, inside the simulator."""

import random

from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiStreamBus,
    AxiStreamSink,
    AxiStreamSource,
)


def core_buses(dut, chance):
    """Masters of the registers and the frames, and a sink of results, which pause at random."""
    reset = {"reset": dut.aresetn, "reset_active_level": False}
    registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, **reset)
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, **reset)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, **reset)
    if chance:
        pause(registers, chance, others=(source, sink))
    return registers, source, sink


def pauses(chance, seed):
    rng = random.Random(seed)
    while True:
        yield rng.random() < chance


def pause(bus, chance, seed=0, others=()):
    """Let each channel of an AXI bus pause at random, and others behind them."""
    write, read = bus.write_if, bus.read_if
    channels = [write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel]
    for number, channel in enumerate([*channels, *others], seed):
        channel.set_pause_generator(pauses(chance, number))
