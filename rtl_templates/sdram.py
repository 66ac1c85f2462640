"""An SDR SDRAM behind AXI4: the controller that LiteDRAM generates, and what initializes the chip."""

import os
import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any

from amaranth.hdl import ClockSignal, Const, Instance, Module, Mux, ResetSignal, Signal
from amaranth.lib.wiring import Component, In, Out, Signature

from hwquant.errors import ToolStopped, require
from hwquant.packages import check_version
from hwquant.program.external import MemoryTiming
from hwquant.rtl_templates.facts import KNOWN, Facts, Inside
from hwquant.rtl_templates.litedram_core import COMMANDS, CORE, PINS_DELAY, chip_argument
from hwquant.rtl_templates.ports import AxiMemoryPort
from hwquant.rtl_templates.sdram_chips import MODE_CYCLES, REFRESHES, SdramChip

NOTHING, REFRESH, PRECHARGE, MODE = 0b1111, 0b0001, 0b0010, 0b0000
"""Commands of a chip: ``cs_n``, ``ras_n``, ``cas_n`` and ``we_n``, from the highest bit down."""
ALL_BANKS = 1 << 10
"""Address of PRECHARGE that means all banks."""
LITEDRAM = Facts(registers={"core": 520}, gates={KNOWN: 1290})
"""LiteDRAM's controller, as Yosys counts it for ECP5: those of chips of 16 and of 32 bits differ by 5 %."""
QUIET = 4
"""Cycles between LOAD MODE REGISTER and the controller's first command, at least."""


@cache
def core_verilog(chip: SdramChip, hertz: float, least: float) -> str:
    """The controller in Verilog, for a chip at a clock; refreshes are often enough for clocks down to ``least``.

    LiteDRAM runs in a process of its own: the names that it writes hang on the order of sets, which a process chooses.

    Raises
    ------
    MissingPackage
        The package litedram is not installed.
    Unsupported
        The chip does not bear the clock.
    ToolStopped
        It stopped.
    """
    if find_spec("litedram") is None:
        raise require("litedram", "sdram", "external memory on a board")
    check_version("litedram", "sdram", "external memory on a board")
    chip.cas_latency(hertz)
    command = [sys.executable, "-W", "ignore", "-m", "hwquant.rtl_templates.litedram_core"]
    done = subprocess.run(
        [*command, chip_argument(chip), repr(hertz), repr(least)],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ToolStopped(
            f"LiteDRAM stopped: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        )
    text, end = done.stdout, "endmodule\n"
    text = text[text.index("`timescale") : text.rindex(end)] + end  # what is around has the date
    # Comments have a tree in the order of addresses in memory.
    return re.sub(r"/\*.*?\*/|^//[^\n]*\n", "", text, flags=re.DOTALL | re.MULTILINE)


class SdramPort(Signature):
    """What goes to the pins of an SDR SDRAM, and what comes from them, in cycles of the controller.

    The pins have a register each, and the chip's clock is the controller's inverted: so commands and data have half a
    cycle to arrive, and as long to stay. What the chip drives is taken at the rising edge of its clock, and then by a
    register at the controller's. What is read is there in the third cycle behind its command, and so many more as the
    CAS latency has beyond one.

    Members
    -------
    cs_n, ras_n, cas_n, we_n : Out(1)
        The command.
    bank : Out(chip.bank_bits)
        Its bank.
    address : Out(chip.address_bits)
        Its address.
    mask : Out(1)
        Level of all data masks.
    write_data : Out(chip.data_bits)
        Data for the chip.
    write_enable : Out(1)
        They are driven.
    read_data : In(chip.data_bits)
        Data from the chip.
    """

    def __init__(self, chip: SdramChip):
        super().__init__(
            {
                **dict.fromkeys(COMMANDS, Out(1, init=1)),
                "bank": Out(chip.bank_bits),
                "address": Out(chip.address_bits),
                "mask": Out(1, init=1),
                "write_data": Out(chip.data_bits),
                "write_enable": Out(1),
                "read_data": In(chip.data_bits),
            }
        )


def initialization(chip: SdramChip, hertz: float) -> list[tuple[int, int, int]]:
    """List what initializes a chip at a clock: command, address, and the cycles until what follows.

    Raises
    ------
    Unsupported
        The chip does not bear the clock.
    """
    refresh = chip.cycles(chip.t_rfc, hertz)
    return [
        (NOTHING, 0, chip.cycles(chip.power_up, hertz)),
        (PRECHARGE, ALL_BANKS, chip.cycles(chip.t_rp, hertz)),
        *[(REFRESH, 0, refresh)] * REFRESHES,
        (MODE, chip.cas_latency(hertz) << 4, max(MODE_CYCLES, QUIET)),
    ]


class SdramController(Component):
    """An SDR SDRAM as a memory behind AXI4.

    After a reset the chip is initialized: a pause, PRECHARGE of all banks, :data:`REFRESHES` times REFRESH, and LOAD
    MODE REGISTER with bursts of one word. Until then no address is accepted, and LiteDRAM's controller is in reset.

    Throughput: a beat a cycle within a row of the chip. When bursts are served is LiteDRAM's choice, refreshes among
    it, so cycles are not foreseen exactly.

    Parameters
    ----------
    chip : SdramChip
        The chip.
    hertz : float
        Clock of the domain ``sync``, and of the chip.
    least : float or None, default None
        Slowest clock that these may have instead; None: ``hertz``.

    Raises
    ------
    Unsupported
        The chip does not bear the clock.

    Members
    -------
    port : In(AxiMemoryPort(chip.data_bits))
        Bursts; the address is taken modulo the chip's size.
    pins : Out(SdramPort(chip))
        The chip's side.
    ready : Out(1)
        The chip is initialized.
    """

    def __init__(self, chip: SdramChip, hertz: float, least: float | None = None):
        self.chip, self.hertz, self.least = chip, hertz, hertz if least is None else least
        self.cas_latency = chip.cas_latency(hertz)
        super().__init__(
            {
                "port": In(AxiMemoryPort(chip.data_bits)),
                "pins": Out(SdramPort(chip)),
                "ready": Out(1),
            }
        )

    @property
    def sources(self) -> dict[str, str]:
        """Files of Verilog that the controller needs, by name."""
        return {f"{CORE}.v": core_verilog(self.chip, self.hertz, self.least)}

    def elaborate(self, platform: object) -> Module:
        """Build what initializes the chip, and connect LiteDRAM's controller."""
        m = Module()
        chip, port, pins = self.chip, self.port, self.pins
        steps = initialization(chip, self.hertz)
        step = Signal(range(len(steps) + 1))
        left = Signal(range(max(wait for _, _, wait in steps)), init=steps[0][2] - 1)
        command, address = Signal(len(COMMANDS), init=NOTHING), Signal(chip.address_bits)
        m.d.sync += command.eq(NOTHING)
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Elif(~self.ready):
            m.d.sync += step.eq(step + 1)
            with m.Switch(step):
                for number, (code, place, wait) in enumerate(steps[1:]):
                    with m.Case(number):
                        m.d.sync += [command.eq(code), address.eq(place), left.eq(wait - 1)]
                with m.Default():
                    m.d.sync += self.ready.eq(1)

        inner: dict[str, Signal] = {
            "bank": Signal(chip.bank_bits, name="core_bank"),
            "address": Signal(chip.address_bits, name="core_address"),
        }
        for bit, name in enumerate(reversed(COMMANDS)):
            inner[name] = Signal(1, name=f"core_{name}")
            m.d.comb += getattr(pins, name).eq(Mux(self.ready, inner[name], command[bit]))
        m.d.comb += [
            pins.bank.eq(Mux(self.ready, inner["bank"], 0)),
            pins.address.eq(Mux(self.ready, inner["address"], address)),
            pins.mask.eq(~self.ready),
        ]
        ports: dict[str, Any] = {f"o_{name}": signal for name, signal in inner.items()}
        for name in ("ar", "aw"):
            channel = getattr(port, name)
            accepts = Signal(name=f"{name}_accepts")
            m.d.comb += channel.ready.eq(accepts & self.ready)
            ports |= {
                f"i_{name}_valid": channel.valid,
                f"o_{name}_ready": accepts,
                f"i_{name}_address": channel.payload.address,
                f"i_{name}_length": channel.payload.length,
            }
        takes = Signal()
        m.d.comb += [
            port.w.ready.eq(takes & self.ready),
            port.r.payload.resp.eq(Const(0, 2)),
            port.b.payload.resp.eq(Const(0, 2)),
        ]
        enable = Signal()
        m.d.comb += pins.write_enable.eq(enable & self.ready)
        m.submodules.core = Instance(
            CORE,
            i_sys_clock=ClockSignal(),
            i_sys_reset=ResetSignal() | ~self.ready,
            i_w_valid=port.w.valid,
            o_w_ready=takes,
            i_w_data=port.w.payload.data,
            i_w_last=port.w.payload.last,
            o_r_valid=port.r.valid,
            i_r_ready=port.r.ready,
            o_r_data=port.r.payload.data,
            o_r_last=port.r.payload.last,
            o_b_valid=port.b.valid,
            i_b_ready=port.b.ready,
            o_write_data=pins.write_data,
            o_write_enable=enable,
            i_read_data=pins.read_data,
            **ports,
        )
        return m

    @staticmethod
    def facts(chip: SdramChip, hertz: float) -> Facts:
        """What initializes the chip, and LiteDRAM's controller as a whole."""
        step, left = _steps(chip, hertz)
        return Facts(
            registers={
                "step": step,
                "left": left,
                "command": len(COMMANDS),
                "address": chip.address_bits,
                "ready": 1,
            },
            adders={"step": step, "left": left},
            muxes={"pins": len(COMMANDS) + chip.bank_bits + chip.address_bits},
            inside=[Inside("core", LITEDRAM)],
        )


def _steps(chip: SdramChip, hertz: float) -> tuple[int, int]:
    """Bits that count the steps that initialize a chip, and the cycles of one."""
    steps = initialization(chip, hertz)
    return len(steps).bit_length(), (max(wait for _, _, wait in steps) - 1).bit_length()


def sdram_timings(
    chip: SdramChip, hertz: float, least: float | None = None
) -> tuple[MemoryTiming, MemoryTiming]:
    """The quickest and the slowest memory that a chip behind :class:`SdramController` is to an accelerator.

    Cycles of an inference lie between those of the two. The quickest answers at once: it is a bound, for a controller
    answers a write before it is in the chip. The numbers of the slowest come from a simulation of LiteDRAM's controller
    for the MT48LC16M16A2-75 at 100 MHz (tests/sim/test_sdram.py); for other chips and clocks they follow the chip's
    times, and were not measured. A row's change and a turn between reading and writing take ``gap`` at most; a refresh
    comes when it is due, for clocks down to ``least``, and rows are opened again after it.
    """
    commands = chip.cas_latency(hertz) + PINS_DELAY
    rows = chip.cycles(chip.t_rp, hertz) + chip.cycles(chip.t_rcd, hertz)
    refresh = rows + chip.cycles(chip.t_ras, hertz) + chip.cycles(chip.t_rfc, hertz) + 12
    worst = MemoryTiming(
        latency=commands + rows + 12 + refresh,
        gap=8,
        outstanding=2,
        refresh_interval=chip.refresh_cycles(hertz if least is None else least),
        refresh_cycles=refresh,
        row=1 << chip.column_bits,
    )
    return MemoryTiming(latency=1, gap=0, outstanding=64), worst
