"""The engines that move words between the host's streams and the activation memory."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.rtl_templates.facts import Facts, Inside
from hwquant.rtl_templates.jobs import instruction_layout
from hwquant.rtl_templates.packer import Packer
from hwquant.rtl_templates.ports import (
    FrameEvents,
    ReadPort,
    TransferPort,
    WritePort,
    frame_layout,
    word_layout,
)


class HostPort(Component):
    """The engine that executes INPUT and OUTPUT.

    An input frame whose ``last`` comes early or late is dropped: the engine reports it, waits for
    the end of the frame, and receives the next one in its place.

    Throughput: a word a cycle while the host keeps up; of inputs that a packer lays out, as
    :class:`~hwquant.rtl_templates.packer.Packer` has it.

    Parameters
    ----------
    config : ArrayConfig
        Widths.

    Attributes
    ----------
    read_latency : int
        Advancing cycles that the memory must take from an address to its ``data``.

    Members
    -------
    transfer : In(TransferPort)
        Words to receive or to send.
    events : Out(FrameEvents)
        What has happened to frames, for the register file.
    frames : In(stream.Signature(frame_layout(config)))
        Words from the host, or beats of inputs that a packer lays out.
    results : Out(stream.Signature(word_layout(config)))
        Words to the host.
    reading : Out(1)
        An output is being sent: the read port of the memory is the host's.
    read : Out(ReadPort)
        Address of the word that is read.
    data : In(config.word_bits)
        The word that was read, ``read_latency`` advancing cycles after its address.
    writing : Out(1)
        Words of an input are being written: the write port of the memory is the host's.
    write : Out(WritePort)
        The word that is written, and its address.
    """

    read_latency = 2

    def __init__(self, config: ArrayConfig):
        self.config = config
        word = stream.Signature(word_layout(config))
        super().__init__(
            {
                "transfer": In(TransferPort(config)),
                "events": Out(FrameEvents()),
                "frames": In(stream.Signature(frame_layout(config))),
                "results": Out(word),
                "reading": Out(1),
                "read": Out(ReadPort(config)),
                "data": In(config.word_bits),
                "writing": Out(1),
                "write": Out(WritePort(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the address, the counter of words, and the state machine of inputs and outputs."""
        m = Module()
        address = Signal(self.config.activation_address_bits, reset_less=True)
        # Below zero where none is left: the sign tells, no comparison is in the way.
        wanted = self.transfer.words
        left = Signal(signed(len(wanted["count"]) + 1))
        ended = left[-1]
        fetched = Signal()
        valid = Signal()
        final = Signal()
        last = Signal(reset_less=True)
        taking = Signal()
        done = Signal()
        input_done = Signal()
        # Registered, so that nothing depends on the host's signals in the same cycle.
        m.d.sync += [self.transfer.done.eq(done), self.events.received.eq(input_done)]
        m.d.comb += [
            self.events.sending.eq(self.transfer.send),
            self.read.address.eq(address),
            *(() if self.config.raw_inputs else self._written(address, taking)),
            self.results.payload.data.eq(self.data),
            self.results.payload.last.eq(final & ~fetched & last),
        ]
        # An input ends with its last word, an output when that word has been fetched and moved on.
        restart = [address.eq(wanted.address), left.eq(wanted["count"] - 2)]
        advance = [address.eq(address + 1), left.eq(left - 1)]
        with m.FSM():
            with m.State("idle"):
                with m.If(self.transfer.receive):
                    m.d.sync += restart
                    m.next = "input"
                with m.Elif(self.transfer.send):
                    m.d.sync += [*restart, left.eq(wanted["count"] - 1), last.eq(wanted.last)]
                    m.next = "output"
            if self.config.raw_inputs:
                self._packed(m, input_done, done)
            else:
                self._words(m, taking, ended, input_done, done, advance, restart)
            with m.State("output"):
                # Address, memory, register: all stand still while the host does not take the register's word.
                m.d.comb += [
                    self.reading.eq(1),
                    self.results.valid.eq(valid),
                    self.read.advance.eq(~valid | self.results.ready),
                    final.eq(ended),
                ]
                with m.If(self.read.advance):
                    m.d.sync += [fetched.eq(~ended), valid.eq(fetched), address.eq(address + 1)]
                    with m.If(~ended):
                        m.d.sync += left.eq(left - 1)
                    with m.If(valid & ~fetched & ended):
                        m.d.comb += done.eq(1)
                        m.next = "idle"
        return m

    def _written(self, address: Signal, taking: Signal) -> list[Any]:
        """What is written of an input whose beats are words."""
        return [
            self.write.address.eq(address),
            self.write.data.eq(self.frames.payload.data),
            self.write.enable.eq(taking.replicate(self.config.groups)),
        ]

    def _words(
        self,
        m: Module,
        taking: Signal,
        ended: Value,
        input_done: Signal,
        done: Signal,
        advance: Sequence[Any],
        restart: Sequence[Any],
    ) -> None:
        """Add the states of an input whose beats are words."""
        word = self.frames.payload
        with m.State("input"):
            m.d.comb += [self.writing.eq(1), self.frames.ready.eq(1)]
            with m.If(self.frames.valid):
                m.d.comb += taking.eq(1)
                m.d.sync += advance
                with m.If(ended & word.last):
                    m.d.comb += [done.eq(1), input_done.eq(1)]
                    m.next = "idle"
                with m.Elif(word.last):
                    m.d.comb += self.events.dropped.eq(1)
                    m.d.sync += restart
                with m.Elif(ended):
                    m.d.comb += self.events.dropped.eq(1)
                    m.next = "drop"
        with m.State("drop"):
            m.d.comb += self.frames.ready.eq(1)
            with m.If(self.frames.valid & word.last):
                m.d.sync += restart
                m.next = "input"

    def _packed(self, m: Module, input_done: Signal, done: Signal) -> None:
        """Add the packer, and the state of an input that it lays out."""
        m.submodules.packer = packer = Packer(self.config)
        port = packer.port
        connect(m, flipped(self.frames), packer.frames)
        connect(m, packer.write, flipped(self.write))
        m.d.comb += [
            port.start.eq(self.transfer.receive),
            port.address.eq(self.transfer.words.address),
            self.writing.eq(port.busy),
            self.events.dropped.eq(port.dropped),
            input_done.eq(port.received),
        ]
        early = self.transfer.words.last  # INPUT has ``early`` there
        with m.State("input"):
            m.d.comb += done.eq(Mux(early, port.received, port.done))
            with m.If(done):
                m.next = "idle"

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """An address and a counter; three marks of words, two answers, and four states, or three and a packer."""
        address = config.activation_address_bits
        count = instruction_layout(config, Opcode.OUTPUT)["count"].width
        return Facts(
            registers={"address": address, "left": count + 1, "control": 3 + 2 + 2},
            adders={"address": address},
            gates={"control": 1},
            inside=[Inside("packer", Packer.facts(config))] if config.raw_inputs else [],
        )
