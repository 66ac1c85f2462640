"""Deframer and framer, against the host's end of the protocol, with random pauses on all sides."""

import numpy as np
import pytest
from hwquant_testing.clocked import simulate

from hwquant.link.protocol import ESCAPE, FLAG, HEADER_BYTES, SMALL, Decoder, Window, encode
from hwquant.rtl_templates.framing import Deframer, Framer

LONGEST = HEADER_BYTES + SMALL.payload


def deframe(data, *, gap=0.0, busy=0.0, between=0, seed=0, window=SMALL):
    """Bodies and the number of damaged packets that a deframer finds in bytes.

    ``gap`` : chance of a pause before a byte; ``between`` : cycles of pause after each flag
    """
    rng = np.random.default_rng(seed)
    component = Deframer(window)
    bodies, body, damaged = [], bytearray(), [0]

    async def send(ctx):
        for byte in data:
            while rng.random() < gap:
                await ctx.tick()
            ctx.set(component.bytes.valid, 1)
            ctx.set(component.bytes.payload, byte)
            await ctx.tick()
            ctx.set(component.bytes.valid, 0)
            if byte == FLAG:
                await ctx.tick().repeat(between + 1)
        await ctx.tick().repeat((3 if busy else 1) * window.packets * window.packet_bytes)

    async def take(ctx):
        before = None
        while True:
            ctx.set(component.packets.ready, int(rng.random() >= busy))
            _, _, valid, ready, beat, bad = await ctx.tick().sample(
                component.packets.valid, component.packets.ready, component.packets.payload, component.damaged
            )
            damaged[0] += bad
            beat = (beat.data, beat.last) if valid else None
            assert before is None or beat == before, "an offered byte stays"
            before = None if ready else beat
            if beat and ready:
                body.append(beat[0])
                if beat[1]:
                    bodies.append(bytes(body))
                    body.clear()

    simulate(component, send, background=[take])
    assert not body
    return bodies, damaged[0]


def random_bodies(rng, number, longest=12):
    special = [FLAG, ESCAPE, FLAG ^ 0x20, ESCAPE ^ 0x20, 0, 255]
    return [
        bytes(
            rng.choice(special) if rng.random() < 0.3 else rng.integers(256)
            for _ in range(rng.integers(HEADER_BYTES, longest + 1))
        )
        for _ in range(number)
    ]


@pytest.mark.parametrize(("gap", "busy", "between"), [(0, 0, 14), (0.7, 0, 14), (0, 0.5, 60), (0.5, 0.5, 60)])
def test_packets_are_found(gap, busy, between):
    bodies = random_bodies(np.random.default_rng(3), 20)
    data = b"".join(map(encode, bodies))
    assert deframe(data, gap=gap, busy=busy, between=between) == (bodies, 0)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_found_in_damaged_bytes_is_what_the_host_would_find(seed):
    rng = np.random.default_rng(seed)
    bodies = random_bodies(rng, 40)
    data = bytearray()
    for byte in b"".join(map(encode, bodies)):
        kind = rng.random()
        if kind < 0.02:
            data.append(int(rng.choice([FLAG, ESCAPE, rng.integers(256)])))
        elif kind > 0.04:
            data.append(byte)
        if kind > 0.98:
            data.append(byte)
    expected = [
        None if body is not None and len(body) < HEADER_BYTES else body
        for body in Decoder().feed(bytes(data))
    ]
    found, damaged = deframe(data, between=14)
    assert found == [body for body in expected if body is not None]
    assert set(found) <= set(bodies)
    assert damaged == expected.count(None) > 3


def test_the_longest_packet_is_found_and_a_longer_one_is_left_out():
    longest, longer = bytes(range(LONGEST)), bytes(LONGEST + 1)
    data = encode(longest) + encode(longer) + encode(longest[::-1])
    assert deframe(data, between=LONGEST + 2) == ([longest, longest[::-1]], 0)


def test_short_packets_are_damaged_and_empty_ones_nothing():
    flag = bytes([FLAG])
    assert deframe(
        flag * 4 + encode(b"x") + encode(b"") + flag + b"abc" + flag + encode(b"okay"), between=9
    ) == (
        [b"okay"],
        3,
    )


@pytest.mark.parametrize("window", [Window(2, 32), Window(4, 64)])
def test_a_window_of_packets_waits_and_more_are_dropped_whole(window):
    """Nobody takes bodies until all packets have come: as many are kept as there are buffers."""
    bodies = [bytes([n]) * (window.payload + HEADER_BYTES - n % 3) for n in range(2 * window.packets + 1)]
    component, found, body = Deframer(window), [], bytearray()

    async def run(ctx):
        for byte in b"".join(map(encode, bodies)):
            ctx.set(component.bytes.valid, 1)
            ctx.set(component.bytes.payload, byte)
            await ctx.tick()
            assert not ctx.get(component.damaged)
        ctx.set(component.bytes.valid, 0)
        ctx.set(component.packets.ready, 1)
        for _ in range(2 * window.packets * window.packet_bytes):
            _, _, valid, beat = await ctx.tick().sample(component.packets.valid, component.packets.payload)
            if valid:
                body.append(beat.data)
                if beat.last:
                    found.append(bytes(body))
                    body.clear()

    simulate(component, run)
    assert found == bodies[: window.packets]


@pytest.mark.parametrize("seed", range(2))
def test_what_arrives_while_bodies_leave_is_kept_or_dropped_whole(seed):
    bodies = [bytes([n]) * int(9 + 11 * (n % 2)) for n in range(60)]
    found, damaged = deframe(b"".join(map(encode, bodies)), busy=0.6, seed=seed)
    assert damaged == 0
    assert 5 < len(found) < len(bodies)
    assert found == [body for body in bodies if body in found]


def frame(bodies, *, idle=0.0, busy=0.0, seed=0):
    """The bytes that a framer makes of bodies."""
    rng = np.random.default_rng(seed)
    component = Framer()
    received = bytearray()

    async def send(ctx):
        for body in bodies:
            for index, byte in enumerate(body):
                while rng.random() < idle:
                    await ctx.tick()
                ctx.set(component.packets.valid, 1)
                ctx.set(component.packets.payload, {"data": byte, "last": int(index == len(body) - 1)})
                await ctx.tick().until(component.packets.ready)
                ctx.set(component.packets.valid, 0)
        await ctx.tick().repeat(60)

    async def take(ctx):
        before = None
        while True:
            ctx.set(component.bytes.ready, int(rng.random() >= busy))
            _, _, valid, ready, byte = await ctx.tick().sample(
                component.bytes.valid, component.bytes.ready, component.bytes.payload
            )
            assert before is None or (valid and byte == before), "an offered byte stays"
            before = byte if valid and not ready else None
            if valid and ready:
                received.append(byte)

    simulate(component, send, background=[take])
    return bytes(received)


@pytest.mark.parametrize(("idle", "busy"), [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)])
def test_what_is_sent_is_what_the_host_would_send(idle, busy):
    bodies = random_bodies(np.random.default_rng(4), 25)
    assert frame(bodies, idle=idle, busy=busy) == b"".join(map(encode, bodies))
