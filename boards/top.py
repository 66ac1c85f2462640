"""The top of a board's bitstream: the clock, and the accelerator behind its link."""

from typing import assert_never

from amaranth.hdl import Cat, ClockDomain, DomainRenamer, Module, ResetInserter, ResetSignal
from amaranth.lib.wiring import Component, In, Member, Out, connect

from hwquant.boards.board import Board
from hwquant.boards.clocking import ClockGenerator, usable_clocks
from hwquant.boards.families.sdram import SdramCells
from hwquant.boards.parameters import CABLE, DIVISOR
from hwquant.boards.pins import LINK_PINS
from hwquant.boards.sdram import CLOCKS, no_memory
from hwquant.boards.sdram_pins import SdramPins
from hwquant.boards.usb_cable import UsbCable
from hwquant.errors import HwquantError, Unsupported
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.board import EthernetAccelerator, SerialAccelerator, UsbAccelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.ethernet import NET_HZ, RGMII, core_verilog
from hwquant.rtl_templates.liteeth_core import CORE
from hwquant.rtl_templates.sdram import SdramController
from hwquant.rtl_templates.uart import baud_divisor


class BoardTop(Component):
    """What is synthesized for a board; its clocks come from the port ``clock``.

    Where ``tunable``, the cycles of a bit on a UART come from a port: constants that
    :class:`~hwquant.boards.parameters.Netlist` puts in its place, so that the netlist serves every clock of the PLL.

    Parameters
    ----------
    board : Board
        The board whose pins the ports are at.
    accelerator : Accelerator
        The accelerator.
    wanted_hz : float
        Clock that is asked for, in Hz.
    tunable : bool, default False
        Whether the clock is chosen after synthesis.

    Attributes
    ----------
    hertz : float
        Clock of the accelerator in Hz: the nearest that can be made, and not above the one asked for.

    Members
    -------
    clock : In(1)
        The oscillator.
    rx : In(1)
        Input of the UART, from the host.
    tx : Out(1)
        Output of the UART, to the host.
    usb_pull_up : Out(1)
        Where the link is USB, instead of the UART: level at the pull-up resistor of D+. The wires ``usb_p`` and
        ``usb_n`` are ports too.
    eth_rx_clk, eth_rx_ctl, ... : In(1) or Out(1)
        Where it is Ethernet: the wires of the PHY, :data:`~hwquant.boards.pins.LINK_PINS`.
    led : Out(1)
        Level that switches the board's LED on while a request is being executed.
    sdram_clock, sdram_data_0, ... : In(1) or Out(1)
        Where the accelerator has external memory: the wires of the SDRAM, which are ports too.
    divisor : In(...)
        Where tunable: :func:`~hwquant.rtl_templates.uart.divisor_constant` of a UART, with as many bits as any clock
        needs.
    """

    def __init__(self, board: Board, accelerator: Accelerator, wanted_hz: float, *, tunable: bool = False):
        ports: dict[str, Member] = {"clock": In(1)}
        match board.link:
            case "uart":
                ports |= {"rx": In(1, init=1), "tx": Out(1, init=1)}
            case "usb":
                ports |= {"usb_pull_up": Out(1)}
            case "ethernet":
                ports |= {name: _member(name) for name in LINK_PINS["ethernet"]}
            case _:
                assert_never(board.link)
        ports["led"] = Out(1)
        if tunable and board.link == "uart":
            ports[DIVISOR] = In(max(map(board.divisor_constant, usable_clocks(board))).bit_length())
        super().__init__(ports)
        self.board = board
        self.clocks = ClockGenerator(board.device, self.clock, board.clock_hz or int(wanted_hz), wanted_hz)
        self.hertz = self.clocks.hertz
        self.linked = self._linked(accelerator, tunable)
        outside = accelerator.config.external_bits > 0
        self.sdram = self._sdram(accelerator.config, tunable) if outside else None
        if board.link == "ethernet":
            self.net = ClockGenerator(board.device, self.clock, board.clock_hz, NET_HZ)

    @property
    def sources(self) -> dict[str, str]:
        """Files of Verilog that the top needs besides, by name."""
        ethernet = {f"{CORE}.v": core_verilog()} if self.board.link == "ethernet" else {}
        return ethernet | (self.sdram.controller.sources if self.sdram else {})

    def bears(self, hertz: float) -> bool:
        """Whether the clock may be another, in Hz, behind synthesis."""
        return self.sdram is None or self.sdram.controller.least <= hertz <= self.sdram.controller.hertz

    def _sdram(self, config: ArrayConfig, tunable: bool) -> SdramPins:
        """The board's SDRAM, and its controller."""
        board, memory = self.board, self.board.memory
        if memory is None:
            raise Unsupported(
                f"{no_memory(board.name, board.ddr)}: compile without external memory, or take a board "
                "whose file has a table memory, or make a core with AXI for a system of your own",
                where=board.name,
            )
        memory.check(config, board.name)
        cells = self._cells()
        most = cells.most_hertz
        if self.hertz > most:
            raise Unsupported(
                f"the SDRAM of {board.name} can be read at {most / 1e6:g} MHz at most, not {self.hertz / 1e6:g}; "
                "ask for another clock with --clock",
                where=board.name,
            )
        least = self.hertz / CLOCKS if tunable else None
        return SdramPins(cells, memory, SdramController(memory.chip, self.hertz, least))

    def _cells(self) -> SdramCells:
        """The cells at the pins of an SDRAM."""
        device = self.board.device
        if device is None or device.family.sdram is None:
            raise Unsupported(
                f"hwquant has no cells for an SDRAM at the FPGA of {self.board.name}; compile without external memory",
                where=self.board.name,
            )
        return device.family.sdram

    def _linked(
        self, accelerator: Accelerator, tunable: bool
    ) -> SerialAccelerator | UsbAccelerator | EthernetAccelerator:
        """The accelerator behind the board's link."""
        board = self.board
        if board.link == "ethernet":
            return EthernetAccelerator(accelerator, board.addresses, board.window)
        if board.link == "usb":
            return UsbAccelerator(accelerator, board.window)
        divisor = self.divisor if tunable else baud_divisor(self.hertz, board.rate(self.hertz))
        return SerialAccelerator(accelerator, divisor, board.window)

    def elaborate(self, platform: object) -> Module:
        """Connect the clock generator and the accelerator's link to the ports."""
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.submodules.clocks = self.clocks
        m.submodules.board = linked = self.linked
        # Not the domain's own reset, which the accelerator's would be joined with in every path from it.
        m.d.comb += [ResetSignal().eq(0), linked.unlocked.eq(self.clocks.unlocked)]
        pin = self.board.pins.get("led")
        led = self.led.eq(~linked.active if pin and pin.inverted else linked.active)
        match linked:
            case SerialAccelerator():
                m.d.comb += [linked.rx.eq(self.rx), self.tx.eq(linked.tx), led]
            case UsbAccelerator():
                m.submodules[CABLE] = cable = self._cable(linked)
                m.domains += [cable.usb, cable.usb_io]
                m.d.comb += [self.usb_pull_up.eq(linked.pull_up), led]
            case EthernetAccelerator():
                m.domains.net = ClockDomain("net")
                m.submodules[CABLE] = DomainRenamer("net")(self.net)
                m.d.comb += ResetSignal("net").eq(self.net.unlocked)
                for name, member in RGMII.items():
                    inner = getattr(linked, name)
                    outer = Cat(getattr(self, pin) for pin in _pins_of(name))
                    m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
                m.d.comb += led
            case _:
                assert_never(linked)
        if self.sdram:
            # Not reset with a session: the memory keeps its contents.
            controller = self.sdram.controller
            m.submodules.controller = ResetInserter(linked.unlocked)(controller)
            m.submodules.sdram = self.sdram
            connect(m, linked.memory, controller.port)
        return m

    def _cable(self, linked: UsbAccelerator) -> UsbCable:
        device = self.board.device
        if device is None or device.family.usb is None:
            raise HwquantError(f"the FPGA of {self.board.name} has no cells for a USB cable; use its UART")
        return UsbCable(device.family.usb, self.clock, self.board.clock_hz, linked)


def _pins_of(name: str) -> list[str]:
    """The ports of a PHY's wires of a name."""
    return [pin for pin in LINK_PINS["ethernet"] if pin.startswith(name)]


def _member(pin: str) -> Member:
    """A port of one of a PHY's wires."""
    (found,) = (member for name, member in RGMII.items() if pin in _pins_of(name))
    return found.flow(1)
