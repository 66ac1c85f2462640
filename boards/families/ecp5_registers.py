"""ECP5: registers that stand directly behind a block RAM become those that the block has.

Block RAM answers 5.6 ns after the clock, and 0.6 ns with its output register, which Yosys never uses.

Source: Lattice FPGA-TN-02204 (ECP5 memory usage).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

RAM, FLIP_FLOP = "DP16KD", "TRELLIS_FF"
HALF = 18
"""Data bits of a port; of 36 bits, the lower half leaves through port A."""

Cell = dict[str, Any]


@dataclass(frozen=True)
class _Port:
    """A port that reads.

    Attributes
    ----------
    name : str
        "A" or "B": whose clock, enable and reset it has.
    outputs : tuple of str
        Ports of the cell at which the word leaves.
    sides : str
        Sides of the block whose registers these outputs have: "A", "B" or "AB".
    """

    name: str
    outputs: tuple[str, ...]
    sides: str

    def signal(self, cell: Cell, name: str) -> object:
        """The net, or constant, at one of the port's own inputs."""
        return _signal(cell, f"{name}{self.name}")


def absorb(module: Cell) -> None:
    """Move flip-flops behind block RAMs into these.

    A port's word is moved where a flip-flop, and nothing else, takes each of its bits, all with the clock and the
    enable of the port, or with any enable where the port has none: the flip-flops then do what the block's register
    does. Nothing is known of the block's reset and this register together; so there are no resets.

    Parameters
    ----------
    module : dict
        A flat module of Yosys' JSON, which is changed.
    """
    cells: dict[str, Cell] = module["cells"]
    readers: defaultdict[object, list[str]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                for bit in bits:
                    readers[bit].append(name)
    for port in module["ports"].values():
        for bit in port["bits"]:
            readers[bit].append("")  # no cell
    for cell in [cell for cell in cells.values() if cell["type"] == RAM]:
        for port in _reading(cell):
            _absorb_word(cells, cell, port, readers)


def _reading(cell: Cell) -> list[_Port]:
    """The ports of a block RAM that may read: port B alone where words have 36 bits."""
    halves = {name: tuple(f"DO{name}{bit}" for bit in range(HALF)) for name in "AB"}
    wide = {name: int(cell["parameters"][f"DATA_WIDTH_{name}"], 2) > HALF for name in "AB"}
    if wide["B"]:
        return [_Port("B", halves["A"] + halves["B"], "AB")]
    return [_Port(name, halves[name], name) for name in "AB" if not wide[name]]


def _absorb_word(
    cells: dict[str, Cell], ram: Cell, port: _Port, readers: defaultdict[object, list[str]]
) -> None:
    """Move the flip-flops behind one port, if all are as they have to be."""
    behind: dict[str, str] = {}  # flip-flops by output
    for output in port.outputs:
        found = readers[_signal(ram, output)]
        if found:
            if len(found) > 1 or not found[0] or not _registers(cells[found[0]], ram, port, output):
                return
            behind[output] = found[0]
    enables = {_enable(cells[name]) for name in behind.values()}
    if len(enables) != 1 or port.signal(ram, "RST") != "0":
        return
    enable = enables.pop()
    if port.signal(ram, "CE") not in ("1", enable):
        return
    for output, name in behind.items():
        ram["connections"][output] = cells.pop(name)["connections"]["Q"]
    for side in port.sides:
        ram["parameters"][f"REGMODE_{side}"] = "OUTREG"
        ram["connections"][f"OCE{side}"] = [enable]
        ram["port_directions"][f"OCE{side}"] = "input"


def _registers(cell: Cell, ram: Cell, port: _Port, output: str) -> bool:
    """Whether a cell is a flip-flop that takes an output at the port's clock, and has no reset."""
    return (
        cell["type"] == FLIP_FLOP
        and _signal(cell, "DI") == _signal(ram, output)
        and _signal(cell, "CLK") == port.signal(ram, "CLK")
        and _signal(cell, "LSR") == "0"
        and _setting(cell, "CLKMUX") == "CLK"
        and _setting(ram, f"CLK{port.name}MUX") == f"CLK{port.name}"
        and _setting(cell, "CEMUX") in ("1", "CE")
        and _setting(cell, "REGSET") == "RESET"
        and _setting(cell, "GSR") == _setting(ram, "GSR") == "DISABLED"
    )


def _signal(cell: Cell, port: str) -> object:
    """The net, or constant, at a port of one bit; None where nothing is."""
    return next(iter(cell["connections"].get(port, ())), None)


def _setting(cell: Cell, name: str) -> str:
    """A parameter, without the space behind texts that look like numbers."""
    return str(cell["parameters"].get(name, "")).strip()


def _enable(cell: Cell) -> object:
    """The clock enable of a flip-flop, a net or "1"."""
    return _signal(cell, "CE") if _setting(cell, "CEMUX") == "CE" else "1"
