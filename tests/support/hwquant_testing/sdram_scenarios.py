"""Runs inside the simulator: cocotbext-axi against the controller of an SDRAM. See tests/sim/test_sdram.py."""

import json
import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiMaster
from hwquant_testing.axi_pauses import pause

CASE = json.loads(os.environ["HWQUANT_SDRAM"]) if "HWQUANT_SDRAM" in os.environ else {}
"""bytes: size used; beat: bytes of one; pauses: chance of one; transfers; idle: cycles; out: file for results."""


async def start(dut):
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    dut.rst.value = 1
    master = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst, max_burst_len=64)
    if CASE["pauses"]:
        pause(master, CASE["pauses"])
    await ClockCycles(dut.clk, 5)
    dut.rst.value = 0
    return master


@cocotb.test()
async def transfers(dut):
    """What was written is read, among refreshes; no rule of the chip is broken."""
    master = await start(dut)
    rng = random.Random(CASE["seed"])
    size, beat = CASE["bytes"], CASE["beat"]
    contents = bytearray(size)
    await with_timeout(master.write(0, bytes(size), awid=0), 1, "ms")
    for number in range(CASE["transfers"]):
        length = beat * rng.choice([1, 2, 3, 16, 64, 200])
        if rng.random() < 0.5:
            place = beat * rng.randrange((size - length) // beat)
        else:
            # Rows of one bank, one after the other.
            place = 4096 * beat * rng.randrange((size - length) // (4096 * beat))
        if rng.random() < 0.5:
            data = rng.randbytes(length)
            contents[place : place + length] = data
            await with_timeout(master.write(place, data, awid=0), 1, "ms")
        else:
            found = await with_timeout(master.read(place, length, arid=0), 1, "ms")
            assert found.data == contents[place : place + length], f"transfer {number} at {place:#x}"
        if number % 16 == 0:
            await ClockCycles(dut.clk, rng.randrange(CASE["idle"]))
    found = await with_timeout(master.read(0, size, arid=0), 1, "ms")
    assert found.data == contents
    assert int(dut.broken.value) == 0, f"{int(dut.broken.value):b}"


@cocotb.test()
async def rules(dut):
    """Which rules of which chip are broken by short bursts, each to another row."""
    master = await start(dut)
    rng = random.Random(CASE["seed"])
    for _ in range(CASE["transfers"]):
        place = 256 * rng.randrange(CASE["bytes"] // 256)
        if rng.random() < 0.5:
            await with_timeout(master.write(place, bytes(16), awid=0), 1, "ms")
        else:
            await with_timeout(master.read(place, 16, arid=0), 1, "ms")
    with open(CASE["out"], "w") as file:
        json.dump(int(dut.broken.value), file)


@cocotb.test()
async def speed(dut):
    """When beats of long reads and writes move."""
    master = await start(dut)
    while not int(dut.ready.value):
        await RisingEdge(dut.clk)
    await ClockCycles(dut.clk, 3)
    times = {"ar": [], "r": [], "aw": [], "w": [], "b": []}

    async def watch():
        cycle = 0
        while True:
            await RisingEdge(dut.clk)
            cycle += 1
            for name, found in times.items():
                if int(getattr(dut, f"s_axi_{name}valid").value) and int(
                    getattr(dut, f"s_axi_{name}ready").value
                ):
                    found.append(cycle)

    cocotb.start_soon(watch())
    await with_timeout(master.write(0, bytes(CASE["bytes"]), awid=0), 1, "ms")
    await with_timeout(master.read(0, CASE["bytes"], arid=0), 1, "ms")
    for _ in range(40):
        await with_timeout(master.read(0, CASE["beat"], arid=0), 1, "ms")
    with open(CASE["out"], "w") as file:
        json.dump(times, file)
