"""ECP5: the PLL and the buffers of a USB cable.

Source: Lattice FPGA-TN-02200 (sysCLOCK), FPGA-TN-02032 (sysI/O).
"""

from __future__ import annotations

from collections.abc import Iterator

from amaranth.hdl import Const, Instance, Signal

from hwquant.boards.families.usb import USB_HZ, USB_IO_HZ, UsbCells, UsbClocks, UsbWire

OSCILLATOR = (400_000_000, 800_000_000)
LEAST_DETECTOR = 3_125_000
MOST_OUTPUT = 400_000_000
MOST = 128
"""Greatest divider."""

Dividers = tuple[int, int, int]
"""Of the input, of the feedback, and behind the PLL's oscillator on the way of the feedback."""


def dividers(input_hz: int) -> Iterator[tuple[Dividers, int]]:
    """Settings that make both clocks exactly, and the frequency in Hz of the PLL's oscillator.

    Feedback comes from the output CLKOP, which nothing else uses.
    """
    for divide in range(1, MOST + 1):
        if input_hz / divide < LEAST_DETECTOR:
            return
        for total in range(1, MOST * MOST):
            oscillator, rest = divmod(input_hz * total, divide)
            if oscillator > OSCILLATOR[1]:
                break
            if oscillator < OSCILLATOR[0] or rest or oscillator % USB_IO_HZ:
                continue
            for post in range(1, MOST + 1):
                if total % post == 0 and total // post <= MOST and oscillator <= MOST_OUTPUT * post:
                    yield (divide, total // post, post), oscillator


def _clocks(input_hz: int, signals: UsbClocks) -> Instance:
    (divide, multiply, post), oscillator = next(dividers(input_hz))
    feedback = Signal()
    outputs = {"CLKOP": post, "CLKOS": oscillator // USB_IO_HZ, "CLKOS2": oscillator // USB_HZ}
    parameters: dict[str, object] = {}
    for name, divider in outputs.items():
        parameters |= {
            f"p_{name}_ENABLE": "ENABLED",
            f"p_{name}_DIV": divider,
            f"p_{name}_CPHASE": divider - 1,
            f"p_{name}_FPHASE": 0,
        }
    idle = ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP", "PHASELOADREG", "PLLWAKESYNC")
    return Instance(
        "EHXPLLL",
        p_PLLRST_ENA="DISABLED",
        p_INTFB_WAKE="DISABLED",
        p_STDBY_ENABLE="DISABLED",
        p_DPHASE_SOURCE="DISABLED",
        p_OUTDIVIDER_MUXA="DIVA",
        p_OUTDIVIDER_MUXB="DIVB",
        p_OUTDIVIDER_MUXC="DIVC",
        p_CLKI_DIV=divide,
        p_CLKFB_DIV=multiply,
        p_FEEDBK_PATH="CLKOP",
        i_CLKI=signals.source,
        i_CLKFB=feedback,
        **{f"i_{name}": Const(0) for name in (*idle, "ENCLKOP", "ENCLKOS", "ENCLKOS2")},
        o_CLKOP=feedback,
        o_CLKOS=signals.usb_io,
        o_CLKOS2=signals.usb,
        o_LOCK=signals.locked,
        **parameters,
    )


def _buffer(wire: UsbWire) -> Instance:
    return Instance("BB", i_I=wire.o, i_T=~wire.oe, o_O=wire.i, io_B=wire.port)


USB = UsbCells(lambda input_hz: next(dividers(input_hz), None) is not None, _clocks, _buffer)
