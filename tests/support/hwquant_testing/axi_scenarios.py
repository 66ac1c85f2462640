"""Runs inside the simulator: cocotbext-axi against the AXI wrapper. See tests/rtl_templates/test_axi.py."""

import json
import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import (
    AxiBus,
    AxiResp,
    AxiSlave,
    AxiStreamFrame,
)
from hwquant_testing.axi_pauses import core_buses, pause

CASE = json.loads(os.environ["HWQUANT_AXI"]) if "HWQUANT_AXI" in os.environ else {}
"""frames, results: lists of bytes; registers: values by number; pauses: chance of one."""


async def start(dut):
    """Clock, reset, and the three bus models."""
    cocotb.start_soon(Clock(dut.aclk, 10, "ns").start())
    dut.aresetn.value = 0
    registers, source, sink = core_buses(dut, CASE["pauses"])
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


class Outside:
    """External memory behind cocotbext-axi's model of a slave; one address may answer with an error."""

    def __init__(self, image, base, faulty):
        self.contents = bytearray(base) + bytearray(image) + bytearray(1 << 16)
        self.faulty = faulty
        self.reads = 0

    async def read(self, address, length):
        self.reads += 1
        if self.faulty is not None and address == self.faulty:
            raise IndexError(address)
        assert address + length <= len(self.contents), f"{address:#x} is beyond what was asked for"
        return bytes(self.contents[address : address + length])

    async def write(self, address, data):
        assert address + len(data) <= len(self.contents), f"{address:#x} is beyond what was asked for"
        self.contents[address : address + len(data)] = data


@cocotb.test()
async def external_memory(dut):
    """Weights come from a memory behind AXI4, which pauses; what it says of errors can be read."""
    outside = Outside(bytes(CASE["image"]), CASE["base"], CASE["faulty"])
    memory = AxiSlave(
        AxiBus.from_prefix(dut, "m_axi"), dut.aclk, dut.aresetn, reset_active_level=False, target=outside
    )
    if CASE["pauses"]:
        pause(memory, CASE["pauses"], seed=100)
    registers, source, sink = await start(dut)
    await ClockCycles(dut.aclk, 300)
    assert outside.reads == 0, "nothing is read before it is known where the memory is"
    await registers.write_dword(12, 0)
    await registers.write_dword(4 * 13, CASE["base"] | 0xFFF)
    assert await registers.read_dword(4 * 13) == CASE["base"]
    for frame, expected in zip(CASE["frames"], CASE["results"]):
        await source.send(AxiStreamFrame(bytes(frame)))
        await registers.write_dword(12, 1)
        result = await with_timeout(sink.recv(), 1, "ms")
        wrong = bytes(result.tdata) != bytes(expected)
        failed = await registers.read_dword(4 * 13) & 1
        if CASE["faulty"] is None:
            assert not wrong
            assert not failed
        else:
            assert failed
    assert outside.reads > 0
