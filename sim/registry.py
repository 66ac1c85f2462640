"""The simulators that there are. Nothing is loaded here, so that a command line can name them."""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.errors import HwquantError


@dataclass(frozen=True)
class Simulator:
    """A backend: its module has a function ``record``, behind :func:`hwquant.sim.simulators.record`.

    Attributes
    ----------
    module : str
        Its full name.
    waves : str or None
        Suffix of the wave files that it writes, None where it writes none.
    verilog : bool
        Whether it executes the emitted Verilog rather than the components themselves.
    board : bool
        Whether it simulates whole boards too (:mod:`hwquant.sim.board_bench`).
    """

    module: str
    waves: str | None
    verilog: bool
    board: bool


SIMULATORS = {
    "verilator": Simulator("hwquant.sim.verilator_backend", waves=".vcd", verilog=True, board=True),
    "icarus": Simulator("hwquant.sim.icarus_backend", waves=".fst", verilog=True, board=False),
    "amaranth": Simulator("hwquant.sim.amaranth_backend", waves=".vcd", verilog=False, board=False),
    "cxxrtl": Simulator("hwquant.sim.cxxrtl_backend", waves=None, verilog=False, board=True),
}
"""By name. Verilator under cocotb is the testbench of record; CXXRTL is the fastest with many networks;
Amaranth's own simulator needs nothing else."""

BOARD_SIMULATORS = tuple(name for name, simulator in SIMULATORS.items() if simulator.board)
"""Names of those that simulate a whole board. CXXRTL compiles a board once for every array and writes programs into
its memories; Verilator executes the emitted Verilog, with the program in it. Each is the other's check."""


VERILOG_SIMULATORS = tuple(name for name, simulator in SIMULATORS.items() if simulator.verilog)
"""Names of those that execute Verilog."""


def find_simulator(name: str) -> Simulator:
    """The entry of :data:`SIMULATORS`, or an error that lists them."""
    if name not in SIMULATORS:
        raise HwquantError(f"unknown simulator {name!r}; choose one of {', '.join(SIMULATORS)}")
    return SIMULATORS[name]
