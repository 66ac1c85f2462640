"""The top of a board: the accelerator behind a link, which is a serial line or a USB cable."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

from amaranth.hdl import Module, ResetInserter, Signal, Value
from amaranth.lib.wiring import Component, In, Member, Out, connect, flipped

from hwquant.errors import HwquantError
from hwquant.link.protocol import LARGE, Window
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.dsp import DspBudget
from hwquant.rtl_templates.ethernet import RGMII, Addresses, EthernetPort
from hwquant.rtl_templates.facts import Facts, Inside
from hwquant.rtl_templates.framing import BEAT, Deframer, Framer
from hwquant.rtl_templates.link import LinkExecutor
from hwquant.rtl_templates.memory_loader import MemoryLoader
from hwquant.rtl_templates.ports import AxiMemoryPort, frame_layout, word_layout
from hwquant.rtl_templates.streams import StreamRegister
from hwquant.rtl_templates.uart import Divisor, UartReceiver, UartTransmitter
from hwquant.rtl_templates.usb import WIRE, UsbSerialPort

Part = TypeVar("Part", bound=Component)
Statements = Sequence[Any]
"""Assignments, for a domain of a module."""


class LinkedAccelerator(Component):
    """The top of a board: an accelerator behind a link, with the protocol of :mod:`hwquant.link.protocol`.

    Parameters
    ----------
    accelerator : Accelerator
        The accelerator, with the program in its memories.
    window : Window
        How much the host may have on its way.
    wires : dict of str to Member
        Ports of the link.

    Raises
    ------
    HwquantError
        The accelerator has external memory that the host does not fill.

    Members
    -------
    memory : Out(AxiMemoryPort(accelerator.config.external_bits))
        The port to external memory, from address 0 on, which keeps its contents from session to session; only where
        there is one. No reset but that of ``unlocked`` cuts a burst.
    unlocked : In(1)
        There is no clock yet to count on: all is to be reset.
    opened : Out(1)
        A host has opened a session; for a LED.
    active : Out(1)
        A request of the host is being executed or answered; for a LED.
    """

    def __init__(self, accelerator: Accelerator, window: Window, wires: dict[str, Member]):
        bits = accelerator.config.external_bits
        if bits and not accelerator.hosted_beats:
            raise HwquantError(
                "the host fills the external memory of a board: make the accelerator with accelerator(hosted=True)"
            )
        self.accelerator, self.window = accelerator, window
        memory = {"memory": Out(AxiMemoryPort(bits))} if bits else {}
        super().__init__(wires | {"unlocked": In(1), "opened": Out(1), "active": Out(1)} | memory)

    def add(self, m: Module, name: str, part: Part) -> Part:
        """Add a part of the link, which is reset where there is no clock yet."""
        m.submodules[name] = ResetInserter(self.unlocked)(part)
        return part

    @abstractmethod
    def receive(self, m: Module) -> tuple[Any, Statements]:
        """Add what receives; gives the stream of bytes from the host, which does not wait, and what the wires do."""

    @abstractmethod
    def transmit(self, m: Module) -> tuple[Any, Statements]:
        """Add what transmits; gives the stream that takes bytes to the host, and what the wires do."""

    def elaborate(self, platform: object) -> Module:
        """Build the link, framing, executor and accelerator, and connect them."""
        m = Module()
        accelerator = self.accelerator
        received, inward = self.receive(m)
        deframer = self.add(m, "deframer", Deframer(self.window))
        outside = accelerator.hosted_beats > 0
        executor = LinkExecutor(accelerator.config, self.window, loadable=accelerator.loadable or outside)
        link = self.add(m, "link", executor)
        framer = self.add(m, "framer", Framer())
        transmitted, outward = self.transmit(m)
        # It reaches all over the device: that takes a cycle of its own, from a register to all others and nothing else.
        reset = Signal(init=1)
        due = self._connect_memory(m, link, reset) if outside else link.reset
        m.d.sync += reset.eq(due | self.unlocked)
        m.submodules.accelerator = ResetInserter(reset)(accelerator)
        # Memories, checks and the choice of what comes next would else be one long path; bytes are rare. A host that
        # asks whether a frame may come asks the accelerator.
        request = self.add(m, "request", StreamRegister(BEAT))
        response = self.add(m, "response", StreamRegister(BEAT))
        leaving = self.add(m, "leaving", StreamRegister(8))
        word = word_layout(accelerator.config)
        beat = frame_layout(accelerator.config)
        m.submodules.frames = frames = ResetInserter(reset)(StreamRegister(beat, follows=True))
        m.submodules.results = results = ResetInserter(reset)(StreamRegister(word))
        connect(m, received, deframer.bytes)
        connect(m, deframer.packets, request.i)
        connect(m, request.o, link.packets)
        connect(m, link.responses, response.i)
        connect(m, response.o, framer.packets)
        connect(m, framer.bytes, leaving.i)
        connect(m, leaving.o, transmitted)
        connect(m, link.frames, frames.i)
        connect(m, frames.o, accelerator.frames)
        connect(m, accelerator.results, results.i)
        connect(m, results.o, link.results)
        connect(m, link.bus, accelerator.bus)
        if accelerator.loadable:
            connect(m, link.load, accelerator.load)
        m.d.comb += [
            *inward,
            link.damaged.eq(deframer.damaged),
            *outward,
            self.opened.eq(link.opened),
            self.active.eq(link.active),
        ]
        return m

    def _connect_memory(self, m: Module, link: LinkExecutor, reset: Signal) -> Value:
        """Add what fills external memory; tell when a reset that a session asks for is due: it cuts no burst."""
        accelerator = self.accelerator
        loader = self.add(m, "loader", MemoryLoader(accelerator.config, accelerator.hosted_beats))
        connect(m, link.load, loader.beats)
        connect(m, accelerator.memory, loader.accelerator)
        connect(m, loader.memory, flipped(self.memory))
        asked, due = Signal(), Signal()
        with m.If(link.reset):
            m.d.sync += asked.eq(1)
        with m.If(due | self.unlocked):
            m.d.sync += asked.eq(0)
        m.d.comb += [
            due.eq(asked & accelerator.quiet),
            accelerator.halt.eq(asked | reset),
            accelerator.missing.eq(loader.missing),
            link.resetting.eq(asked | reset),
            loader.restart.eq(link.reset),
        ]
        return due


def _linked_facts(
    config: ArrayConfig, window: Window, budget: DspBudget | None, loadable: bool, line: dict[str, Facts]
) -> Facts:
    """What a board's top is made of: the reset's register, and what is inside, the parts of the line among it."""
    outside = config.external_bits > 0
    parts = {
        "deframer": Deframer.facts(window),
        "link": LinkExecutor.facts(config, window, loadable=loadable or outside),
        "framer": Framer.facts(),
        "accelerator": Accelerator.facts(config, budget, loadable=loadable),
        "request": StreamRegister.facts(BEAT.size),
        "response": StreamRegister.facts(BEAT.size),
        "leaving": StreamRegister.facts(8),
        "frames": StreamRegister.facts(frame_layout(config).size),
        "results": StreamRegister.facts(word_layout(config).size),
    }
    if outside:
        parts["loader"] = MemoryLoader.facts(config)
    return Facts(
        registers={"reset": 1 + outside},
        inside=[Inside(name, facts) for name, facts in (line | parts).items()],
    )


class SerialAccelerator(LinkedAccelerator):
    """An accelerator behind a UART.

    Throughput: a byte in ten bits of ``divisor`` cycles, in each direction.

    Parameters
    ----------
    accelerator : Accelerator
        The accelerator, with the program in its memories.
    divisor : int or Fraction or Signal
        Clock cycles a bit; see :func:`~hwquant.rtl_templates.uart.baud_divisor`. Or a signal with
        :func:`~hwquant.rtl_templates.uart.divisor_constant`.
    window : Window, default LARGE
        How much the host may have on its way.

    Members
    -------
    rx : In(1, init=1)
        The serial line from the host, 8N1.
    tx : Out(1, init=1)
        The serial line to the host, 8N1.
    unlocked, opened, active : In(1) or Out(1)
        Those of :class:`LinkedAccelerator`.
    """

    def __init__(self, accelerator: Accelerator, divisor: Divisor | Signal, window: Window = LARGE):
        self.divisor = divisor
        super().__init__(accelerator, window, {"rx": In(1, init=1), "tx": Out(1, init=1)})

    def receive(self, m: Module) -> tuple[Any, Statements]:
        """Add the receiver of the line."""
        receiver = self.add(m, "receiver", UartReceiver(self.divisor))
        return receiver.bytes, [receiver.rx.eq(self.rx)]

    def transmit(self, m: Module) -> tuple[Any, Statements]:
        """Add the transmitter of the line."""
        transmitter = self.add(m, "transmitter", UartTransmitter(self.divisor))
        return transmitter.bytes, [self.tx.eq(transmitter.tx)]

    @staticmethod
    def facts(
        config: ArrayConfig,
        divisor: Divisor,
        window: Window = LARGE,
        budget: DspBudget | None = None,
        *,
        loadable: bool = False,
    ) -> Facts:
        """What a board's top is made of.

        Parameters
        ----------
        config : ArrayConfig
            Shape and widths of the accelerator.
        divisor : int or Fraction
            Clock cycles a bit.
        window : Window
            How much the host may have on its way.
        budget : DspBudget or None
            What ``elaborate`` gets as its platform.
        loadable : bool
            Whether the host sends the accelerator's weights.

        Returns
        -------
        Facts
            The reset's register, and what is inside.
        """
        line = {"receiver": UartReceiver.facts(divisor), "transmitter": UartTransmitter.facts(divisor)}
        return _linked_facts(config, window, budget, loadable, line)


class UsbAccelerator(LinkedAccelerator):
    """An accelerator behind a USB cable.

    Throughput: that of :class:`~hwquant.rtl_templates.usb.UsbSerialPort`, whose clock domains it needs.

    Parameters
    ----------
    accelerator : Accelerator
        The accelerator, with the program in its memories.
    window : Window, default LARGE
        How much the host may have on its way.

    Members
    -------
    d_p, d_n : Out(WIRE)
        The wires of the cable.
    pull_up : Out(1)
        Level at the pull-up resistor of D+.
    unlocked, opened, active : In(1) or Out(1)
        Those of :class:`LinkedAccelerator`.
    """

    def __init__(self, accelerator: Accelerator, window: Window = LARGE):
        super().__init__(accelerator, window, {"d_p": Out(WIRE), "d_n": Out(WIRE), "pull_up": Out(1)})
        self.port = UsbSerialPort()

    def receive(self, m: Module) -> tuple[Any, Statements]:
        """Add the port."""
        port = self.add(m, "port", self.port)
        wires = ((self.d_p, port.d_p), (self.d_n, port.d_n))
        return port.received, [inner.i.eq(outer.i) for outer, inner in wires]

    def transmit(self, m: Module) -> tuple[Any, Statements]:
        """The port takes the bytes too."""
        port = self.port
        wires = ((self.d_p, port.d_p), (self.d_n, port.d_n))
        driven = [to for outer, inner in wires for to in (outer.o.eq(inner.o), outer.oe.eq(inner.oe))]
        return port.sent, [*driven, self.pull_up.eq(port.pull_up)]

    @staticmethod
    def facts(
        config: ArrayConfig,
        window: Window = LARGE,
        budget: DspBudget | None = None,
        *,
        loadable: bool = False,
    ) -> Facts:
        """What a board's top is made of; parameters are those of :meth:`SerialAccelerator.facts`."""
        return _linked_facts(config, window, budget, loadable, {"port": UsbSerialPort.facts()})


class EthernetAccelerator(LinkedAccelerator):
    """An accelerator behind a network.

    Throughput: that of :class:`~hwquant.rtl_templates.ethernet.EthernetPort`.

    Parameters
    ----------
    accelerator : Accelerator
        The accelerator, with the program in its memories.
    addresses : Addresses
        Who the board is.
    window : Window, default LARGE
        How much the host may have on its way.

    Members
    -------
    eth_rx_clk, eth_rx_ctl, eth_rx_data : In(...)
        Wires from the PHY; see :class:`~hwquant.rtl_templates.ethernet.EthernetPort`.
    eth_tx_clk, eth_tx_ctl, eth_tx_data, eth_reset_n : Out(...)
        Wires to the PHY.
    unlocked, opened, active : In(1) or Out(1)
        Those of :class:`LinkedAccelerator`.
    """

    def __init__(self, accelerator: Accelerator, addresses: Addresses, window: Window = LARGE):
        super().__init__(accelerator, window, dict(RGMII))
        self.port = EthernetPort(addresses)

    def receive(self, m: Module) -> tuple[Any, Statements]:
        """Add the port."""
        port = self.add(m, "port", self.port)
        names = [name for name, member in RGMII.items() if member.flow is In]
        return port.received, [getattr(port, name).eq(getattr(self, name)) for name in names]

    def transmit(self, m: Module) -> tuple[Any, Statements]:
        """The port takes the bytes too."""
        port = self.port
        names = [name for name, member in RGMII.items() if member.flow is Out]
        return port.sent, [getattr(self, name).eq(getattr(port, name)) for name in names]

    @staticmethod
    def facts(
        config: ArrayConfig,
        window: Window = LARGE,
        budget: DspBudget | None = None,
        *,
        loadable: bool = False,
    ) -> Facts:
        """What a board's top is made of; parameters are those of :meth:`SerialAccelerator.facts`."""
        return _linked_facts(config, window, budget, loadable, {"port": EthernetPort.facts()})
