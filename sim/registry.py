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
        Full name of the module.
    waves : str or None
        Suffix of the wave files that it writes; None where it writes none.
    verilog : bool
        Whether it executes the emitted Verilog rather than the components themselves.
    board : bool
        Whether it simulates whole boards too (:mod:`hwquant.sim.board_bench`).
    programs : tuple of str, default ()
        Programs that must be in PATH, of one under licence.
    """

    module: str
    waves: str | None
    verilog: bool
    board: bool
    programs: tuple[str, ...] = ()


SIMULATORS = {
    "verilator": Simulator("hwquant.sim.verilator_backend", waves=".vcd", verilog=True, board=True),
    "icarus": Simulator("hwquant.sim.icarus_backend", waves=".fst", verilog=True, board=False),
    "amaranth": Simulator("hwquant.sim.amaranth_backend", waves=".vcd", verilog=False, board=False),
    "cxxrtl": Simulator("hwquant.sim.cxxrtl_backend", waves=None, verilog=False, board=True),
}
"""The simulators by name. Verilator under cocotb is the testbench of record; CXXRTL is the fastest with many networks;
Amaranth's own simulator needs nothing else."""

LICENSED = {
    name: Simulator("hwquant.sim.licensed_backend", waves=None, verilog=True, board=False, programs=programs)
    for name, programs in {
        "questa": ("vlib", "vlog", "vsim"),
        "questa-qisqrun": ("qrun",),
        "riviera": ("vsimsa",),
        "activehdl": ("vsimsa",),
        "xcelium": ("xrun",),
        "vcs": ("vcs",),
        "dsim": ("dsim",),
    }.items()
}
"""Simulators under licence, by cocotb's names: they run the testbench of record, where they are installed."""

VHDL_SIMULATORS = ("ghdl", "nvc")
"""Simulators that cocotb has and that read no Verilog."""

BOARD_SIMULATORS = tuple(name for name, simulator in SIMULATORS.items() if simulator.board)
"""Names of those that simulate a whole board. CXXRTL compiles a board once for every array and writes programs into
its memories; Verilator executes the emitted Verilog, with the program in it. Each is the other's check."""

VERILOG_SIMULATORS = tuple(name for name, simulator in SIMULATORS.items() if simulator.verilog)
"""Names of those that execute Verilog."""


def find_simulator(name: str) -> Simulator:
    """Find a simulator by name.

    Parameters
    ----------
    name : str
        A key of :data:`SIMULATORS` or :data:`LICENSED`.

    Returns
    -------
    Simulator
        Its entry.

    Raises
    ------
    HwquantError
        There is no such simulator, or it reads VHDL alone; lists those that there are.
    """
    known = {**SIMULATORS, **LICENSED}
    if name in VHDL_SIMULATORS:
        raise HwquantError(
            f"the simulator {name} reads VHDL alone, and the design is Verilog; choose one of {', '.join(known)}"
        )
    if name not in known:
        raise HwquantError(f"unknown simulator {name!r}; choose one of {', '.join(known)}")
    return known[name]
