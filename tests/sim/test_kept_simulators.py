"""Compiled simulators in the cache: what is damaged is compiled again."""

import ctypes
import shutil

import pytest
from amaranth.hdl import Elaboratable, Module, Signal

from hwquant.sim.cxxrtl_backend import LIBRARY, compile_design

DRIVER = """
struct Bench { cxxrtl::debug_items items; };
extern "C" int answer() { return 42; }
"""


class Counter(Elaboratable):
    """The least that can be compiled."""

    def __init__(self):
        self.count = Signal(4)

    def elaborate(self, platform):
        module = Module()
        module.d.sync += self.count.eq(self.count + 1)
        return module


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_a_truncated_simulator_is_compiled_again(monkeypatch, tmp_path):
    from amaranth.back import rtlil

    monkeypatch.setenv("HWQUANT_CACHE", str(tmp_path))
    counter = Counter()
    design = rtlil.convert(counter, name="counter", ports=[counter.count])
    path = compile_design(design, DRIVER)
    whole = path.stat().st_size
    before = path.stat().st_mtime_ns
    assert compile_design(design, DRIVER) == path
    assert path.stat().st_mtime_ns == before
    path.write_bytes(path.read_bytes()[: whole // 2])
    assert compile_design(design, DRIVER) == path
    assert path.stat().st_size == whole
    assert ctypes.CDLL(str(path)).answer() == 42
    assert sorted(item.name for item in path.parent.iterdir()) == [LIBRARY, "entry.json"]
