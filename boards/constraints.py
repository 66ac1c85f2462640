"""Where the top's ports are, in the language of each family's tools."""

from __future__ import annotations

from hwquant.boards.board import PINS, Board, Pin


def constraints(board: Board) -> tuple[str, str]:
    """File name and text of the constraints of a board."""
    pins = [(port, board.pins[port]) for port in PINS if port in board.pins]
    match board.device.family:
        case "ecp5":
            lines = [line for port, pin in pins for line in _lpf(port, pin)]
            return "top.lpf", "\n".join([*lines, f'FREQUENCY PORT "clock" {_megahertz(board)} MHZ;', ""])
        case "ice40":
            lines = [f"set_io {_pullup(pin)}{port} {pin.location}" for port, pin in pins]
            return "top.pcf", "\n".join([*lines, f"set_frequency clock {_megahertz(board)}", ""])
        case "gowin":
            return "top.cst", "\n".join([*(line for port, pin in pins for line in _cst(port, pin)), ""])
        case "xilinx7":
            period = 1e9 / board.clock_hz
            clock = f"create_clock -name clock -period {period:.3f} [get_ports clock]"
            return "top.xdc", "\n".join(
                [*(line for port, pin in pins for line in _xdc(port, pin)), clock, ""]
            )
    raise AssertionError(board.device.family)


def _megahertz(board: Board) -> str:
    return f"{board.clock_hz / 1e6:g}"


def _lpf(port: str, pin: Pin) -> list[str]:
    attributes = " ".join(f"{key}={value}" for key, value in pin.attributes.items())
    return [f'LOCATE COMP "{port}" SITE "{pin.location}";', f'IOBUF PORT "{port}" {attributes};']


def _pullup(pin: Pin) -> str:
    return "-pullup yes " if pin.attributes.get("PULLUP") == "1" else ""


def _cst(port: str, pin: Pin) -> list[str]:
    attributes = " ".join(f"{key}={value}" for key, value in pin.attributes.items())
    return [f'IO_LOC "{port}" {pin.location};', f'IO_PORT "{port}" {attributes};']


def _xdc(port: str, pin: Pin) -> list[str]:
    values = {"PACKAGE_PIN": pin.location, **pin.attributes}
    return [f"set_property {key} {value} [get_ports {port}]" for key, value in values.items()]
