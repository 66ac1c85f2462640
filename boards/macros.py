"""Memories of an ASIC: macros, which are counted but not synthesized.

Yosys sees black boxes, OpenSTA a library of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

INPUT_PF = 0.03
"""Capacitance of a memory's pin in pF: about three gates."""
THRESHOLDS = {"slew_upper": 80, "slew_lower": 20, "input": 50, "output": 50}
"""Thresholds of the OSU libraries in per cent of the supply; delays add up only where libraries share them."""


@dataclass(frozen=True)
class Macro:
    """A memory of an ASIC.

    Attributes
    ----------
    name : str
        Name of the instance.
    words : int
        Number of words.
    width : int
        Bits of a word.
    reads : int
        Number of read ports.
    writes : int
        Number of write ports.
    address_bits : int
        Bits of a port's address.
    """

    name: str
    words: int
    width: int
    reads: int
    writes: int
    address_bits: int

    @property
    def bits(self) -> int:
        """Bits that the memory stores."""
        return self.words * self.width

    @property
    def type(self) -> str:
        """Name of the black box, which memories of one shape and the same ports share."""
        return f"memory_{self.words}x{self.width}_{self.reads}r{self.writes}w"

    @property
    def ports(self) -> tuple[tuple[str, str, int], ...]:
        """Name, direction and bits of each port; there is a write port even where nothing is written."""
        writes = max(1, self.writes)
        return (
            ("CLK", "input", 1),
            ("RD_EN", "input", self.reads),
            ("RD_ADDR", "input", self.reads * self.address_bits),
            ("RD_DATA", "output", self.reads * self.width),
            ("WR_EN", "input", writes * self.width),
            ("WR_ADDR", "input", writes * self.address_bits),
            ("WR_DATA", "input", writes * self.width),
        )


PARAMETERS = ("SIZE", "WIDTH", "RD_PORTS", "WR_PORTS", "ABITS")
"""Parameters of ``boards/cells/memory_macro.v``, in the order of the fields of :class:`Macro`."""


def parse_macros(dump: str) -> tuple[Macro, ...]:
    """Read the memories of a design from Yosys' dump of its cells of the type memory_macro."""
    macros = []
    for name, body in re.findall(r"cell \\memory_macro \\(\S+)\n(.*?)\n  end", dump, re.DOTALL):
        values = dict(re.findall(r"parameter \\(\w+) (\d+)", body))
        macros.append(Macro(name, *(int(values[key]) for key in PARAMETERS)))
    return tuple(sorted(macros, key=lambda item: item.name))


def black_boxes(macros: Iterable[Macro]) -> str:
    """Verilog of the memories' black boxes: modules without contents."""
    lines = []
    for macro in {item.type: item for item in macros}.values():
        ports = ", ".join(f"{direction} [{bits - 1}:0] {name}" for name, direction, bits in macro.ports)
        lines.append(f"module {macro.type}({ports});\nendmodule\n")
    return "".join(lines)


def liberty(macros: Iterable[Macro]) -> str:
    """The Liberty file of the memories' black boxes.

    A memory takes its inputs at the clock's edge and answers at once: paths end and begin at it, without the time that
    it takes itself.
    """
    types = list({item.type: item for item in macros}.values())
    lines = ["library(memories) {", "  delay_model : table_lookup;", '  time_unit : "1ns";']
    lines += ['  voltage_unit : "1V";', '  current_unit : "1uA";', "  capacitive_load_unit (1,pf);"]
    for name, value in THRESHOLDS.items():
        lines += [f"  {name}_threshold_pct_{edge} : {value};" for edge in ("rise", "fall")]
    for bits in sorted({bits for macro in types for _, _, bits in macro.ports}):
        lines.append(f"  type(bus{bits}) {{ base_type : array; data_type : bit; bit_width : {bits};")
        lines.append(f"    bit_from : {bits - 1}; bit_to : 0; }}")
    setup = 'timing() { related_pin : "CLK"; timing_type : setup_rising;'
    setup += ' rise_constraint(scalar) { values("0"); } fall_constraint(scalar) { values("0"); } }'
    answer = 'timing() { related_pin : "CLK"; timing_type : rising_edge;'
    for edge in ("rise", "fall"):
        answer += f' cell_{edge}(scalar) {{ values("0"); }} {edge}_transition(scalar) {{ values("0.1"); }}'
    answer += " }"
    for macro in types:
        lines.append(f"  cell({macro.type}) {{ area : 0;")
        for name, direction, bits in macro.ports:
            what = f"capacitance : {INPUT_PF}; {setup}" if direction == "input" else answer
            if name == "CLK":
                lines.append(f"    pin(CLK) {{ direction : input; clock : true; capacitance : {INPUT_PF}; }}")
            else:
                lines.append(f"    bus({name}) {{ bus_type : bus{bits}; direction : {direction}; {what} }}")
        lines.append("  }")
    return "\n".join([*lines, "}", ""])
