"""Packets as datagrams and datagrams as bytes, with pauses at random on both sides."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwquant.link.protocol import FLAG, encode
from hwquant.link.transport import UDP_PORT
from hwquant.rtl_templates.udp import LEAST, WORD_BYTES, UdpPort

LONGEST = 250


def bodies(rng, count):
    """Bodies of packets of many lengths, with bytes among them that are escaped."""
    lengths = [1, 2, 3, 8, 9, 10, LONGEST, *rng.integers(1, LONGEST, count)]
    return [bytes(rng.choice([FLAG, 0x7D, *range(256)], length).tolist()) for length in lengths]


def simulate(port, *processes):
    simulator = Simulator(port)
    simulator.add_clock(1e-8)
    for process in processes:
        simulator.add_testbench(process)
    simulator.run()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("pauses", [0.0, 0.4])
def test_a_packet_is_a_datagram_without_a_pause(seed, pauses):
    rng = np.random.default_rng(seed)
    packets = [encode(body) for body in bodies(rng, 12)]
    port, found = UdpPort(), []

    async def host(ctx):
        for byte in b"".join(packets):
            while rng.random() < pauses:
                await ctx.tick()
            ctx.set(port.sent.payload, byte)
            ctx.set(port.sent.valid, 1)
            while not ctx.get(port.sent.ready):
                await ctx.tick()
            await ctx.tick()
            ctx.set(port.sent.valid, 0)

    async def network(ctx):
        leaving = port.leaving
        for _ in packets:
            datagram, last = b"", False
            while not last:
                ctx.set(leaving.ready, int(rng.random() >= pauses))
                if ctx.get(leaving.ready) and (ctx.get(leaving.valid) or datagram):
                    assert ctx.get(leaving.valid), "a datagram that has begun goes on"
                    last, marks = ctx.get(leaving.last), ctx.get(leaving.last_be)
                    length = ctx.get(leaving.length)
                    count = marks.bit_length() if last else WORD_BYTES
                    assert marks == (1 << count >> 1 if last else 0)
                    datagram += ctx.get(leaving.data).to_bytes(WORD_BYTES, "little")[:count]
                await ctx.tick()
            assert length == len(datagram)
            assert ctx.get(leaving.src_port) == UDP_PORT
            found.append(datagram)

    simulate(port, host, network)
    flags = bytes([FLAG])
    assert found == [packet + flags * (LEAST - len(packet)) for packet in packets], f"seed {seed}"


@pytest.mark.parametrize("seed", [1, 2])
def test_the_bytes_of_datagrams_to_the_port_come_out_and_no_others(seed):
    rng = np.random.default_rng(seed)
    sent = [
        (
            data,
            UDP_PORT if rng.random() < 0.7 else int(rng.integers(0, UDP_PORT)),
            int(rng.integers(1, 1 << 32)),
        )
        for data in bodies(rng, 12)
    ]
    port, found, answered = UdpPort(), bytearray(), []

    async def network(ctx):
        arriving = port.arriving
        for data, number, address in sent:
            ctx.set(arriving.dst_port, number)
            ctx.set(arriving.ip_address, address)
            ctx.set(arriving.src_port, address & 0xFFFF)
            for place in range(0, len(data), WORD_BYTES):
                word = data[place : place + WORD_BYTES]
                while rng.random() < 0.3:
                    await ctx.tick()
                ctx.set(arriving.data, int.from_bytes(word, "little"))
                last = place + WORD_BYTES >= len(data)
                ctx.set(arriving.last, int(last))
                ctx.set(arriving.last_be, 1 << len(word) - 1 if last else 0)
                ctx.set(arriving.valid, 1)
                while not ctx.get(arriving.ready):
                    await ctx.tick()
                await ctx.tick()
                ctx.set(arriving.valid, 0)
            await ctx.tick()
            answered.append((ctx.get(port.leaving.ip_address), ctx.get(port.leaving.dst_port)))

        await ctx.tick().repeat(sum(len(data) for data, _, _ in sent))

    async def board(ctx):
        ctx.set(port.received.ready, 1)
        async for _, _, valid, byte in ctx.tick().sample(port.received.valid, port.received.payload):
            if valid:
                found.append(byte)

    simulator = Simulator(port)
    simulator.add_clock(1e-8)
    simulator.add_testbench(network)
    simulator.add_testbench(board, background=True)
    simulator.run()
    assert bytes(found) == b"".join(data for data, number, _ in sent if number == UDP_PORT), f"seed {seed}"
    latest = (0, 0)
    for (_, number, address), answer in zip(sent, answered):
        latest = (address, address & 0xFFFF) if number == UDP_PORT else latest
        assert answer == latest
