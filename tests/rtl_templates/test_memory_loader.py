"""What fills external memory: the beats of the last session that was whole, whatever the memory's pauses."""

import numpy as np
import pytest
from hwquant_testing.clocked import simulate

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.memory_loader import MemoryLoader

CONFIG = ArrayConfig(2, 2, external_bits=16, external_address_bits=7)


class Memory:
    """A memory that takes addresses and beats of one burst after the other, each when it likes."""

    def __init__(self, port, rng, pause):
        self.port, self.rng, self.pause = port, rng, pause
        self.beats, self.writes = {}, 0

    async def run(self, ctx):
        port, address, data, answer = self.port, None, None, 0
        while True:
            go = self.rng.random(3) >= self.pause
            ctx.set(port.aw.ready, int(go[0] and address is None))
            ctx.set(port.w.ready, int(go[1] and data is None))
            ctx.set(port.b.valid, int(bool(go[2] and answer)))
            _, _, aw, aw_ready, place, w, w_ready, beat, b = await ctx.tick().sample(
                *(port.aw.valid, port.aw.ready, port.aw.payload),
                *(port.w.valid, port.w.ready, port.w.payload),
                port.b.valid,
            )
            if aw and aw_ready:
                assert place.length == 0
                address = place.address
            if w and w_ready:
                assert beat.last
                data = beat.data
            if b:
                answer = 0
            if address is not None and data is not None:
                assert address % 2 == 0
                self.beats[address // 2] = data
                self.writes += 1
                address, data, answer = None, None, 1


def play(sessions, count, *, pause=0.0, idle=0.0, seed=0):
    """Send beats, session by session; gives the memory, and for each session whether beats were missing before it."""
    loader, rng = MemoryLoader(CONFIG, count), np.random.default_rng(seed)
    memory, missing = Memory(loader.memory, rng, pause), []

    async def host(ctx):
        for beats in sessions:
            ctx.set(loader.restart, 1)
            await ctx.tick()
            ctx.set(loader.restart, 0)
            missing.append(ctx.get(loader.missing))
            for beat in beats:
                while rng.random() < idle:
                    await ctx.tick()
                ctx.set(loader.beats.payload, beat)
                ctx.set(loader.beats.valid, 1)
                await ctx.tick().until(loader.beats.ready)
                ctx.set(loader.beats.valid, 0)
        while ctx.get(loader.missing) and len(sessions[-1]) >= count:
            await ctx.tick()
        missing.append(ctx.get(loader.missing))

    simulate(loader, host, background=[memory.run])
    return memory, missing


@pytest.mark.parametrize(("pause", "idle"), [(0.0, 0.0), (0.6, 0.0), (0.1, 0.8)])
def test_a_session_that_is_cut_short_is_followed_by_one_that_begins_again(pause, idle):
    old, new = [[k + base for k in range(20)] for base in (100, 500)]
    memory, missing = play([old[:13], new], 20, pause=pause, idle=idle, seed=3)
    assert memory.beats == dict(enumerate(new))
    assert missing == [1, 1, 0]
    assert memory.writes == 13 + 20


def test_what_is_filled_stays_and_what_comes_later_is_ignored():
    beats = list(range(40, 50))
    memory, missing = play([[*beats, 1, 2], [], [7, 8, 9]], 10, pause=0.3, seed=5)
    assert memory.beats == dict(enumerate(beats))
    assert missing == [1, 0, 0, 0]


@pytest.mark.parametrize("filled", [0, 1])
def test_the_accelerator_has_the_memory_once_it_is_filled(filled):
    loader = MemoryLoader(CONFIG, 1)
    inner, outer = loader.accelerator, loader.memory

    async def both(ctx):
        if filled:
            ctx.set(loader.beats.valid, 1)
            await ctx.tick()
            ctx.set(loader.beats.valid, 0)
            ctx.set(outer.b.valid, 1)
            await ctx.tick()
            ctx.set(outer.b.valid, 0)
        assert ctx.get(loader.missing) == 1 - filled
        for channel in ("aw", "w"):
            ctx.set(getattr(inner, channel).valid, 1)
            ctx.set(getattr(outer, channel).ready, 1)
        ctx.set(inner.aw.payload, {"address": 0x120, "length": 5})
        ctx.set(inner.w.payload, {"data": 0xABCD, "last": 0})
        ctx.set(outer.b.valid, 1)
        assert [ctx.get(outer.aw.valid), ctx.get(outer.w.valid), ctx.get(inner.b.valid)] == [filled] * 3
        assert [ctx.get(inner.aw.ready), ctx.get(inner.w.ready)] == [filled] * 2
        if filled:
            assert ctx.get(outer.aw.payload.address) == 0x120
            assert ctx.get(outer.aw.payload.length) == 5
            assert ctx.get(outer.w.payload.data) == 0xABCD
        ctx.set(inner.ar.valid, 1)
        ctx.set(outer.r.valid, 1)
        ctx.set(outer.r.payload, {"data": 0x1234, "resp": 2, "last": 1})
        assert ctx.get(outer.ar.valid) == 1
        assert ctx.get(inner.r.payload.data) == 0x1234
        assert ctx.get(inner.r.payload.resp) == 2

    simulate(loader, both)
