"""The top of a board: the accelerator behind a serial line."""

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib.wiring import Component, In, Out, connect

from hwquant.link.protocol import LARGE, Window
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.dsp import DspBudget
from hwquant.rtl_templates.facts import Facts, Inside
from hwquant.rtl_templates.framing import BEAT, Deframer, Framer
from hwquant.rtl_templates.link import LinkExecutor
from hwquant.rtl_templates.ports import frame_layout, word_layout
from hwquant.rtl_templates.streams import StreamQueue, StreamRegister
from hwquant.rtl_templates.uart import Divisor, UartReceiver, UartTransmitter


class SerialAccelerator(Component):
    """The top of a board: an accelerator behind a UART, with the protocol of :mod:`hwquant.link.protocol`.

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
    opened : Out(1)
        A host has opened a session; for a LED.
    active : Out(1)
        A request of the host is being executed or answered; for a LED.
    """

    def __init__(self, accelerator: Accelerator, divisor: Divisor | Signal, window: Window = LARGE):
        self.accelerator, self.window = accelerator, window
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "opened": Out(1), "active": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Build the UART, framing, executor and accelerator, and connect them."""
        m = Module()
        accelerator = self.accelerator
        m.submodules.receiver = receiver = UartReceiver(self.divisor)
        m.submodules.deframer = deframer = Deframer(self.window)
        m.submodules.link = link = LinkExecutor(
            accelerator.config, self.window, loadable=accelerator.loadable
        )
        m.submodules.framer = framer = Framer()
        m.submodules.transmitter = transmitter = UartTransmitter(self.divisor)
        # It reaches all over the device: that takes a cycle of its own.
        reset = Signal()
        m.d.sync += reset.eq(link.reset)
        m.submodules.accelerator = ResetInserter(reset)(accelerator)
        # Memories, checks and the choice of what comes next would else be one long path; bytes are rare. A host that
        # asks whether a frame may come asks the accelerator.
        m.submodules.request = request = StreamRegister(BEAT)
        m.submodules.response = response = StreamRegister(BEAT)
        m.submodules.leaving = leaving = StreamRegister(8)
        config = accelerator.config
        m.submodules.frames = frames = ResetInserter(reset)(
            StreamRegister(frame_layout(config), follows=True)
        )
        m.submodules.results = results = ResetInserter(reset)(StreamQueue(word_layout(config)))
        connect(m, receiver.bytes, deframer.bytes)
        connect(m, deframer.packets, request.i)
        connect(m, request.o, link.packets)
        connect(m, link.responses, response.i)
        connect(m, response.o, framer.packets)
        connect(m, framer.bytes, leaving.i)
        connect(m, leaving.o, transmitter.bytes)
        connect(m, link.frames, frames.i)
        connect(m, frames.o, accelerator.frames)
        connect(m, accelerator.results, results.i)
        connect(m, results.o, link.results)
        connect(m, link.bus, accelerator.bus)
        if accelerator.loadable:
            connect(m, link.load, accelerator.load)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            link.damaged.eq(deframer.damaged),
            self.tx.eq(transmitter.tx),
            self.opened.eq(link.opened),
            self.active.eq(link.active),
        ]
        return m

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
        parts = {
            "receiver": UartReceiver.facts(divisor),
            "deframer": Deframer.facts(window),
            "link": LinkExecutor.facts(config, window, loadable=loadable),
            "framer": Framer.facts(),
            "transmitter": UartTransmitter.facts(divisor),
            "accelerator": Accelerator.facts(config, budget, loadable=loadable),
            "request": StreamRegister.facts(BEAT.size),
            "response": StreamRegister.facts(BEAT.size),
            "leaving": StreamRegister.facts(8),
            "frames": StreamRegister.facts(frame_layout(config).size),
            "results": StreamQueue.facts(word_layout(config).size),
        }
        return Facts(registers={"reset": 1}, inside=[Inside(name, facts) for name, facts in parts.items()])
