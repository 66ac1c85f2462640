"""External memory: what is refused, and which cycles a refresh takes from a burst."""

from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.errors import HwquantError
from hwquant.program.config import ArrayConfig
from hwquant.program.external import BURST, ExternalMemory, MemoryTiming


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latency": 0}, "latency of a memory must be 1..4096, not 0"),
        ({"gap": 9}, "gap of a memory must be 0..8, not 9"),
        ({"outstanding": 0}, "outstanding of a memory must be 1..64, not 0"),
        ({"row": 32}, "row of a memory must be 0, or a power of two of 64..4096 beats, not 32"),
        ({"row": None}, "power of two of 64..4096 beats, not None"),
        ({"row": 64.0}, "power of two of 64..4096 beats, not 64.0"),
        ({"row": 96}, "power of two of 64..4096 beats, not 96"),
        ({"refresh_cycles": 3}, r"refresh_cycles of a memory must be 0..0, not 3 \(refresh_interval is 0\)"),
        ({"refresh_interval": 64, "refresh_cycles": 1}, "refresh_interval of a memory must be 65"),
        ({"refresh_interval": 100, "refresh_cycles": 37}, "refresh_cycles of a memory must be 1..36, not 37"),
    ],
)
def test_a_timing_out_of_range_is_refused(values, message):
    with pytest.raises(HwquantError, match=message):
        MemoryTiming(**values)


def test_a_memory_out_of_range_is_refused():
    with pytest.raises(HwquantError, match="16, 32, 64, 128 bits, not 24"):
        ExternalMemory(24)
    with pytest.raises(HwquantError, match=r"4096\.\.4294967296 bytes, not 100"):
        ExternalMemory(32, 100)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"external_bits": 48, "external_address_bits": 9}, "0 or one of 16, 32, 64, 128, not 48"),
        ({"external_bits": 64}, "needs external_address_bits of at least 7, not 0"),
        ({"external_bits": 64, "external_address_bits": 6}, "at least 7, not 6"),
        ({"external_address_bits": 9}, "must be 0 without a port to external memory, not 9"),
        (
            {"external_bits": 64, "external_address_bits": 9, "half_depth": 100},
            "half_depth must be a multiple of",
        ),
        ({"half_depth": 16}, "half_depth must be"),
        ({"external_bits": 64, "external_address_bits": 9, "parameter_depth": 48}, "a power of two, not 48"),
        (
            {"external_bits": 64, "external_address_bits": 9, "arrays": 2, "strip_bits": 2},
            "does not go together with several arrays",
        ),
    ],
)
def test_a_port_that_contradicts_the_array_is_refused(values, message):
    with pytest.raises(HwquantError, match=message):
        ArrayConfig(4, 4, **values)


@given(
    st.integers(-500, 10_000),
    st.integers(1, BURST),
    st.integers(BURST + 1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - BURST))),
)
def test_a_burst_goes_on_after_the_refreshes_that_come_into_it(earliest, beats, refresh):
    interval, cycles = refresh
    timing = MemoryTiming(refresh_interval=interval, refresh_cycles=cycles)
    free = (t for t in count(earliest) if t < interval or t % interval >= cycles)
    assert timing.last(earliest, beats) == list(islice(free, beats))[-1]
    assert MemoryTiming().last(earliest, beats) == earliest + beats - 1


def test_a_memory_is_exact_where_its_bounds_are_the_same():
    timing = MemoryTiming(latency=9, refresh_interval=780, refresh_cycles=20)
    assert not ExternalMemory(timing=timing).exact
    memory = ExternalMemory(32, 1 << 20, timing, timing)
    assert memory.exact
    assert ExternalMemory.from_json(memory.to_json()) == memory
    assert str(timing) == "latency=9,gap=2,outstanding=4,refresh_interval=780,refresh_cycles=20"
    assert str(MemoryTiming(row=512)) == "latency=24,gap=2,outstanding=4,row=512"
    assert str(MemoryTiming()) == "latency=24,gap=2,outstanding=4"
