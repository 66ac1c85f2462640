"""Runs inside the simulator: cocotbext-axi against the AXI wrapper. See tests/rtl_templates/test_axi.py."""

import json
import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

CASE = json.loads(os.environ["HWQUANT_AXI"]) if "HWQUANT_AXI" in os.environ else {}
"""frames, results: lists of bytes; registers: values by number; pauses: chance of one."""


def pauses(chance, seed):
    rng = random.Random(seed)
    while True:
        yield rng.random() < chance


async def start(dut):
    """Clock, reset, and the three bus models."""
    cocotb.start_soon(Clock(dut.aclk, 10, "ns").start())
    dut.aresetn.value = 0
    registers = AxiLiteMaster(
        AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, dut.aresetn, reset_active_level=False
    )
    source = AxiStreamSource(
        AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, dut.aresetn, reset_active_level=False
    )
    sink = AxiStreamSink(
        AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, dut.aresetn, reset_active_level=False
    )
    if CASE["pauses"]:
        write, read = registers.write_if, registers.read_if
        channels = [write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel]
        for seed, channel in enumerate([*channels, source, sink]):
            channel.set_pause_generator(pauses(CASE["pauses"], seed))
    await ClockCycles(dut.aclk, 5)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 5)
    return registers, source, sink


@cocotb.test()
async def frames_and_registers(dut):
    """Results are right, and the registers can be read and written while the streams run."""
    registers, source, sink = await start(dut)
    for number, value in CASE["registers"].items():
        assert await registers.read_dword(4 * int(number)) == value, f"register {number}"
    for frame in CASE["frames"]:
        await source.send(AxiStreamFrame(bytes(frame)))
    for expected in CASE["results"]:
        reading = cocotb.start_soon(registers.read_dword(0))
        result = await with_timeout(sink.recv(), 1, "ms")
        assert bytes(result.tdata) == bytes(expected)
        assert await reading == CASE["registers"]["0"]
    assert sink.empty()
    await ClockCycles(dut.aclk, 10)
    assert await registers.read_dword(4 * 6) == len(CASE["frames"])
    assert await registers.read_dword(4 * 4) >> 1 == 0


@cocotb.test()
async def writes(dut):
    """CONTROL can be written as a whole only."""
    registers, source, sink = await start(dut)
    assert await registers.read_dword(12) == 2
    # A frame is waited for already; afterwards nothing begins.
    await registers.write_dword(12, 0)
    assert await registers.read_dword(12) == 0
    for frame in CASE["frames"][:2]:
        await source.send(AxiStreamFrame(bytes(frame)))
    assert bytes((await with_timeout(sink.recv(), 1, "ms")).tdata) == bytes(CASE["results"][0])
    await ClockCycles(dut.aclk, 500)
    assert sink.empty()
    assert await registers.read_dword(16) == 0, "not busy"
    response = await registers.write(12, b"\2")
    assert response.resp == AxiResp.SLVERR
    assert await registers.read_dword(12) == 0
    response = await registers.write(12, b"\1\0\0\0")
    assert response.resp == AxiResp.OKAY
    assert bytes((await with_timeout(sink.recv(), 1, "ms")).tdata) == bytes(CASE["results"][1])
    await registers.write_dword(0, 5)
    assert await registers.read_dword(0) == CASE["registers"]["0"], "only CONTROL can be written"
