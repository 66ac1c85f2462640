# amaranth: UnusedElaboratable=no
"""The UART: what is on the line, bit by bit."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Signal
from hwquant_testing.clocked import interact, simulate, trace

from hwquant.errors import HwquantError
from hwquant.rtl_templates.uart import (
    FRACTION_BITS,
    MIN_DIVISOR,
    MIN_TOLERANCE,
    UartReceiver,
    UartTransmitter,
    baud_divisor,
    divisor_constant,
    fastest_baud,
    tolerance,
)


def line(byte, stop=1):
    """8N1: a low bit, the data with the low bit first, a high bit."""
    return [0, *(byte >> n & 1 for n in range(8)), stop]


def receive(divisor, levels):
    """The bytes that a receiver finds in a line's levels, one a cycle."""
    rows = [{"rx": int(level)} for level in [*levels, *[1] * int(2 * divisor)]]
    seen = trace(UartReceiver(divisor), rows, ["bytes.valid", "bytes.payload"])
    return [row["bytes.payload"] for row in seen if row["bytes.valid"]]


def sampled(bits, cycles_a_bit):
    """Bits as levels, one a cycle, for a sender whose bits last that many cycles (not an integer)."""
    edges = [round(n * cycles_a_bit) for n in range(len(bits) + 1)]
    return [bit for bit, (begin, end) in zip(bits, itertools.pairwise(edges)) for _ in range(end - begin)]


@pytest.mark.parametrize("divisor", [4, 5, 16, 27, Fraction(133, 16), Fraction(113, 16)])
def test_bytes_back_to_back_are_received(divisor):
    sent = [0, 255, 0x55, 0xAA, 1, 128, *np.random.default_rng(int(divisor)).integers(0, 256, 20).tolist()]
    bits = [1, *(bit for byte in sent for bit in line(byte))]
    assert receive(divisor, sampled(bits, divisor)) == sent


@pytest.mark.parametrize("error", [-0.04, -0.02, 0.02, 0.04])
def test_the_sender_may_be_fast_or_slow(error):
    sent = np.random.default_rng(0).integers(0, 256, 20).tolist()
    bits = [1, 1, *(bit for byte in sent for bit in line(byte))]
    assert receive(32, sampled(bits, 32 * (1 + error))) == sent


@pytest.mark.parametrize("clock", [24e6, 25e6, 34.5e6, 93.75e6])
@pytest.mark.parametrize("most", [3_000_000, 12_000_000])
@pytest.mark.parametrize("side", [-1, 1])
def test_at_the_fastest_rate_of_a_clock_the_sender_may_be_off_as_said(clock, most, side):
    """Bytes back to back, wherever the line's edges are between two edges of the clock."""
    rate = fastest_baud(clock, most)
    cycles = clock / rate * (1 + side * (tolerance(clock, rate) - 1e-3))
    sent = np.random.default_rng(0).integers(0, 256, 6).tolist()
    bits = [1, 1, *(bit for byte in sent for bit in line(byte)), 1]
    for phase in (0.0, 0.3, 0.6, 0.95):
        levels = [bits[int((n + phase) / cycles)] for n in range(int((len(bits) - 1) * cycles))]
        assert receive(baud_divisor(clock, rate), levels) == sent


def test_pauses_between_bytes_do_not_matter():
    rng = np.random.default_rng(1)
    sent = rng.integers(0, 256, 20).tolist()
    levels = [1] * 3
    for byte in sent:
        levels += sampled(line(byte), 6) + [1] * int(rng.integers(0, 30))
    assert receive(6, levels) == sent


def test_a_byte_without_a_stop_bit_is_left_out_and_a_break_too():
    levels = [1, *sampled(line(0x12), 8), *sampled(line(0x34, stop=0), 8), *[1] * 8]
    levels += [*sampled(line(0x56), 8), *[0] * 500, *[1] * 8, *sampled(line(0x78), 8)]
    assert receive(8, levels) == [0x12, 0x56, 0x78]


def test_a_glitch_is_no_byte():
    levels = [1] * 10 + [0] * 2 + [1] * 200 + sampled(line(0x9A), 16)
    assert receive(16, levels) == [0x9A]


@pytest.mark.parametrize("divisor", [4, 7])
@pytest.mark.parametrize("idle", [0.0, 0.9])
def test_the_line_has_the_bytes_that_were_sent(divisor, idle):
    rng = np.random.default_rng(divisor)
    bytes_ = rng.integers(0, 256, 12).tolist()
    left, levels, state = list(bytes_), [], {"offering": False, "tail": 12 * divisor}

    def step(cycle, seen):
        state["offering"] = bool(left) and (state["offering"] or rng.random() >= idle)
        if not left:
            state["tail"] -= 1
            if not state["tail"]:
                return None
        return {"bytes.valid": int(state["offering"]), "bytes.payload": left[0] if left else 0}

    def after(cycle, seen):
        levels.append(seen["tx"])
        if seen["bytes.valid"] and seen["bytes.ready"]:
            left.pop(0)
            state["offering"] = False

    interact(UartTransmitter(divisor), step, ["tx", "bytes.valid", "bytes.ready"], after)
    found, position = [], 0
    while 0 in levels[position:]:
        position = levels.index(0, position)
        bits = levels[position : position + 10 * divisor : divisor]
        assert levels[position : position + 10 * divisor] == sampled(bits, divisor), "bits of equal length"
        assert (bits[0], bits[9]) == (0, 1)
        found.append(sum(bit << n for n, bit in enumerate(bits[1:9])))
        position += 10 * divisor
    assert found == bytes_
    if not idle:
        assert levels.index(0) + 10 * divisor * len(bytes_) <= len(levels) - divisor, "without pauses"


def test_the_line_is_high_before_the_first_byte():
    assert {row["tx"] for row in trace(UartTransmitter(4), [{}] * 20, ["tx"])} == {1}


def test_a_divisor_is_the_nearest_one_and_a_rate_that_no_divisor_gives_is_refused():
    assert baud_divisor(25e6, 115_200) == 217
    assert baud_divisor(12e6, 1_000_000) == 12
    assert baud_divisor(100e6, 3_000_000) == Fraction(533, 16)
    assert divisor_constant(12) == 11 << FRACTION_BITS
    assert divisor_constant(Fraction(533, 16)) == (32 << FRACTION_BITS) + 5
    with pytest.raises(HwquantError, match=r"12 MHz cannot give 2200000 baud; choose .* at most 1500000"):
        baud_divisor(12e6, 2_200_000)
    with pytest.raises(HwquantError, match="cannot give 4000000 baud"):
        baud_divisor(12e6, 4_000_000)
    for component in (UartReceiver, UartTransmitter):
        with pytest.raises(HwquantError, match=f"at least {MIN_DIVISOR} clock cycles a bit, not 3"):
            component(3)


@pytest.mark.parametrize(
    ("clock", "most", "rate"),
    [
        (100e6, 3_000_000, 3_000_000),
        (25e6, 3_000_000, 3_000_000),
        (12e6, 3_000_000, 3_000_000),  # four cycles
        (14e6, 3_000_000, 1_000_000),  # 4.67 and 9.33 would leave too little margin
        (100e6, 12_000_000, 12_000_000),
        (24e6, 12_000_000, 6_000_000),
        (1e6, 3_000_000, 250_000),
        (1e5, 3_000_000, None),
    ],
)
def test_the_fastest_rate_is_a_whole_part_of_the_converters(clock, most, rate):
    assert fastest_baud(clock, most) == rate
    assert rate is None or tolerance(clock, rate) >= MIN_TOLERANCE


@pytest.mark.parametrize("divisor", [7, Fraction(133, 16), Fraction(65, 16)])
def test_a_signal_gives_the_same_line_as_a_constant(divisor):
    """The number that is put into a netlist afterwards."""
    levels = []
    for signal in (False, True):
        value = Signal(12, init=divisor_constant(divisor)) if signal else divisor
        component = UartTransmitter(value)
        rows = [{"bytes.valid": 1, "bytes.payload": 0xA5}] * 400
        levels.append([row["tx"] for row in trace(component, rows, ["tx"])])
    assert levels[0] == levels[1]
    edges = [n for n, (one, two) in enumerate(itertools.pairwise(levels[0])) if (one, two) == (1, 0)]
    assert (edges[-1] - edges[0]) / (len(edges) - 1) == pytest.approx(float(divisor) * 10 / 4, rel=0.03)


def test_a_byte_takes_its_time_from_end_to_end():
    """Receiver and transmitter together, through a wire."""
    from amaranth.hdl import Module
    from amaranth.lib.wiring import Component

    class Wire(Component):
        def __init__(self):
            self.sender, self.receiver = UartTransmitter(5), UartReceiver(5)
            super().__init__({})

        def elaborate(self, platform):
            m = Module()
            m.submodules.sender, m.submodules.receiver = self.sender, self.receiver
            m.d.comb += self.receiver.rx.eq(self.sender.tx)
            return m

    wire, received = Wire(), []
    sent = list(b"through the wire")

    async def talk(ctx):
        for byte in sent:
            ctx.set(wire.sender.bytes.valid, 1)
            ctx.set(wire.sender.bytes.payload, byte)
            await ctx.tick().until(wire.sender.bytes.ready)
        ctx.set(wire.sender.bytes.valid, 0)
        await ctx.tick().repeat(60)

    async def listen(ctx):
        async for _, _, valid, byte in ctx.tick().sample(
            wire.receiver.bytes.valid, wire.receiver.bytes.payload
        ):
            if valid:
                received.append(byte)

    simulate(wire, talk, background=[listen])
    assert received == sent
