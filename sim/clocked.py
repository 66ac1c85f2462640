"""A board whose clocks are ports of its top."""

import ctypes
from collections.abc import Mapping
from pathlib import Path

from amaranth.hdl import ClockDomain, Module
from amaranth.lib.wiring import Component, In, Member

from hwquant.rtl_templates.board import LinkedAccelerator
from hwquant.rtl_templates.verilog import to_rtlil
from hwquant.sim import cxxrtl_backend


class Clocked(Component):
    """A board with its ports and its clocks, in an order of their own: Amaranth would add the clocks in any.

    Parameters
    ----------
    board : LinkedAccelerator
        The board.
    domains : mapping of str to str
        Its clock domains, and how the names of their ports begin.

    Members
    -------
    clk, rst : In(1)
        Clock and reset of each domain, with what their names begin.
    """

    def __init__(self, board: LinkedAccelerator, domains: Mapping[str, str]) -> None:
        self.board, self.domains = board, domains
        clocks: dict[str, Member] = {
            f"{prefix}{name}": In(1) for prefix in domains.values() for name in ("clk", "rst")
        }
        super().__init__(dict(board.signature.members) | clocks)

    def elaborate(self, platform: object) -> Module:
        """Make the domains, and connect the board's ports."""
        m = Module()
        for name, prefix in self.domains.items():
            m.domains += (domain := ClockDomain(name))
            domain.clk, domain.rst = getattr(self, f"{prefix}clk"), getattr(self, f"{prefix}rst")
        m.submodules.board = board = self.board
        for path, member, port in self.board.signature.flatten(board):
            outer = self
            for part in path:
                outer = getattr(outer, part)
            m.d.comb += port.eq(outer) if member.flow is In else outer.eq(port)
        return m


def compile_clocked(board: Clocked, driver: str, more: str = "") -> ctypes.CDLL:
    """Compile a board by CXXRTL, and load the functions of its driver.

    Parameters
    ----------
    board : Clocked
        The board.
    driver : str
        Name of the driver's C++ file, beside this one.
    more : str, default ""
        RTLIL of the modules that the board has as black boxes.
    """
    source = Path(__file__).with_name(driver).read_text()
    loaded = ctypes.CDLL(str(cxxrtl_backend.compile_design(to_rtlil(board) + more, source)))
    handle = ctypes.c_void_p
    loaded.hwquant_create.restype = handle
    loaded.hwquant_create.argtypes = [ctypes.c_double]
    loaded.hwquant_destroy.argtypes = [handle]
    loaded.hwquant_reset.argtypes = [handle]
    loaded.hwquant_run.restype = None
    loaded.hwquant_run.argtypes = [handle, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    return loaded
