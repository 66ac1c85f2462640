"""What a family's tools have to know of a board: where the top's ports are, and for Vivado what to do at all."""

from __future__ import annotations

from hwquant.boards.board import PINS, Board, Pin
from hwquant.boards.languages import lpf, megahertz, tcl, tcl_comment, tcl_word, word

VIVADO_SCRIPT, VIVADO_BITSTREAM = "vivado.tcl", "top.bit"
"""Files beside the Verilog: what Vivado is to run, and what it writes."""


def constraints(board: Board) -> tuple[str, str]:
    """File name and text of the constraints of a board."""
    pins = [(port, board.pins[port]) for port in PINS if port in board.pins]
    match board.device.family:
        case "ecp5":
            lines = [line for port, pin in pins for line in _lpf(port, pin)]
            return "top.lpf", _text(*lines, f'FREQUENCY PORT "clock" {megahertz(board.clock_hz)} MHZ;')
        case "ice40":
            lines = [f"set_io {_pullup(pin)}{port} {word(pin.location, 'PCF')}" for port, pin in pins]
            return "top.pcf", _text(*lines, f"set_frequency clock {megahertz(board.clock_hz)}")
        case "gowin":
            return "top.cst", _text(*(line for port, pin in pins for line in _cst(port, pin)))
        case "xilinx7":
            period = f"{1e9 / board.clock_hz:.3f}"
            clock = f"create_clock -name clock -period {period} [get_ports clock]"
            return "top.xdc", _text(*(line for port, pin in pins for line in _xdc(port, pin)), clock)
    raise AssertionError(board.device.family)


def vivado_script(board: Board, constraints_file: str) -> str:
    """From Verilog and constraints to a bitstream."""
    return _text(
        f"# vivado -mode batch -source {VIVADO_SCRIPT}: the bitstream for this board",
        tcl_comment(board.title),
        tcl("create_project", "-in_memory", "-part", board.part),
        tcl("read_verilog", "top.v"),
        tcl("read_xdc", constraints_file),
        tcl("synth_design", "-top", "top", "-part", board.part),
        "opt_design",
        "place_design",
        "route_design",
        "report_timing_summary -file timing.rpt",
        "report_utilization -file utilization.rpt",
        tcl("write_bitstream", "-force", VIVADO_BITSTREAM),
    )


def _text(*lines: str) -> str:
    return "\n".join([*lines, ""])


def _lpf(port: str, pin: Pin) -> list[str]:
    attributes = [f"{word(key, 'LPF')}={word(value, 'LPF')}" for key, value in pin.attributes.items()]
    place = f'LOCATE COMP "{port}" SITE {lpf(pin.location)};'
    return [place, *([f'IOBUF PORT "{port}" {" ".join(attributes)};'] if attributes else [])]


def _pullup(pin: Pin) -> str:
    return "-pullup yes " if pin.attributes.get("PULLUP") == "1" else ""


def _cst(port: str, pin: Pin) -> list[str]:
    attributes = [f"{word(key, 'CST')}={word(value, 'CST')}" for key, value in pin.attributes.items()]
    place = f'IO_LOC "{port}" {word(pin.location, "CST")};'
    return [place, *([f'IO_PORT "{port}" {" ".join(attributes)};'] if attributes else [])]


def _xdc(port: str, pin: Pin) -> list[str]:
    values = {"PACKAGE_PIN": pin.location, **pin.attributes}
    return [
        f"{tcl('set_property', key, value)} [get_ports {tcl_word(port)}]" for key, value in values.items()
    ]
