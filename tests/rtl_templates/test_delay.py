"""Registers in a row, and the skew of a vector's lanes."""

import numpy as np
import pytest
from amaranth.hdl import Fragment, Module, Signal, signed
from amaranth.lib.wiring import Component, In, Out
from hwquant_testing.clocked import trace

from hwquant.rtl_templates.delay import Skew, delayed


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_lane_n_comes_n_cycles_later(width, reverse):
    rng = np.random.default_rng(width)
    words = rng.integers(-8, 8, (60, width))
    seen = trace(
        Skew(signed(4), width, reverse=reverse),
        [{f"i{n}": int(value) for n, value in enumerate(row)} for row in words],
        [f"o{n}" for n in range(width)],
    )
    for n in range(width):
        cycles = width - 1 - n if reverse else n
        lane = [row[f"o{n}"] for row in seen]
        assert lane == [0] * cycles + words[: len(words) - cycles, n].tolist()


def test_a_skew_and_its_reverse_cancel():
    rng = np.random.default_rng(0)
    words = rng.integers(-8, 8, (40, 4)).tolist()

    class Both(Component):
        i: In(16)
        o: Out(16)

        def elaborate(self, platform):
            m = Module()
            m.submodules.first = first = Skew(4, 4)
            m.submodules.second = second = Skew(4, 4, reverse=True)
            for n in range(4):
                m.d.comb += getattr(first, f"i{n}").eq(self.i.word_select(n, 4))
                m.d.comb += getattr(second, f"i{n}").eq(getattr(first, f"o{n}"))
                m.d.comb += self.o.word_select(n, 4).eq(getattr(second, f"o{n}"))
            return m

    packed = [sum((value & 15) << (4 * n) for n, value in enumerate(row)) for row in words]
    seen = [row["o"] for row in trace(Both(), [{"i": value} for value in packed], ["o"])]
    assert seen[3:] == packed[:-3]


def test_no_cycles_is_the_signal_itself_and_every_register_has_a_name():
    m, value = Module(), Signal(signed(3))
    assert delayed(m, value, 0, name="x") is value
    last = delayed(m, value, 3, name="x")
    assert last.name == "x_3"
    assert last.shape() == signed(3)
    Fragment.get(m, None)  # a module that is made must be used
