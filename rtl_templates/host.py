"""The engines that move words between the host's streams and the activation memory."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
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


class _Registers:
    """What the engine remembers while words move, and what its parts tell each other.

    Parameters
    ----------
    config : ArrayConfig
        Widths, and how many arrays there are.
    wanted : View
        The words to move.
    """

    def __init__(self, config: ArrayConfig, wanted: Any):
        several = config.arrays > 1
        self.address = Signal(config.activation_address_bits, reset_less=True)
        # Below zero where none is left: the sign tells, no comparison is in the way.
        self.left = Signal(signed(len(wanted["count"]) + 1))
        self.ended = self.left[-1]
        self.last = Signal(reset_less=True)
        self.done = Signal()
        self.input_done = Signal()
        self.banks = Signal(config.arrays, reset_less=True) if several else None
        self.again = Signal()


class HostPort(Component):
    """The engine that executes INPUT and OUTPUT.

    An input frame whose ``last`` comes early or late is dropped: the engine reports it, waits for
    the end of the frame, and receives the next one in its place. Of several arrays without a packer, and with external
    memory, a frame may come in several inputs (each into a bank or into all of them): there the first input has to
    begin again.

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
    data : In(config.arrays * config.word_bits)
        The word of each bank that was read, ``read_latency`` advancing cycles after its address.
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
                "data": In(config.arrays * config.word_bits),
                "writing": Out(1),
                "write": Out(WritePort(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the address, the counter of words, and the state machine of inputs and outputs."""
        m = Module()
        config, wanted = self.config, self.transfer.words
        state = _Registers(config, wanted)
        fetched = Signal()
        valid = Signal()
        final = Signal()
        # Registered, so that nothing depends on the host's signals in the same cycle.
        m.d.sync += [self.transfer.done.eq(state.done), self.events.received.eq(state.input_done)]
        m.d.comb += [
            self.events.sending.eq(self.transfer.send),
            self.read.address.eq(state.address),
            self.results.payload.data.eq(self._read_word(state.banks)),
            self.results.payload.last.eq(final & ~fetched & state.last),
        ]
        # An input ends with its last word, an output when that word has been fetched and moved on.
        restart = [state.address.eq(wanted.address), state.left.eq(wanted["count"] - 2)]
        if state.banks is not None:
            restart += [state.banks.eq(wanted.banks)]
        if config.in_pieces:
            # A frame may go on in the next input, and begins with the first one.
            restart += [state.last.eq(wanted.last)]
            m.d.sync += self.transfer.again.eq(state.again)
        with m.FSM():
            with m.State("idle"):
                with m.If(self.transfer.receive):
                    m.d.sync += restart
                    m.next = "input"
                with m.Elif(self.transfer.send):
                    m.d.sync += [*restart, state.left.eq(wanted["count"] - 1), state.last.eq(wanted.last)]
                    m.next = "output"
            if config.raw_inputs:
                self._packed(m, state)
            else:
                self._words(m, state, restart)
            with m.State("output"):
                # Address, memory, register: all stand still while the host does not take the register's word.
                m.d.comb += [
                    self.reading.eq(1),
                    self.results.valid.eq(valid),
                    self.read.advance.eq(~valid | self.results.ready),
                    final.eq(state.ended),
                ]
                with m.If(self.read.advance):
                    m.d.sync += [
                        fetched.eq(~state.ended),
                        valid.eq(fetched),
                        state.address.eq(state.address + 1),
                    ]
                    with m.If(~state.ended):
                        m.d.sync += state.left.eq(state.left - 1)
                    with m.If(valid & ~fetched & state.ended):
                        m.d.comb += state.done.eq(1)
                        m.next = "idle"
        return m

    def _read_word(self, banks: Signal | None) -> Value:
        """The word that was read, of the bank that it comes from."""
        if banks is None:
            return self.data
        bits = self.config.word_bits
        words = [self.data[k * bits : (k + 1) * bits] & bank.replicate(bits) for k, bank in enumerate(banks)]
        return reduce(or_, words)

    def _words(self, m: Module, state: _Registers, restart: Sequence[Any]) -> None:
        """Add the states of an input whose beats are words, and what is written of them."""
        config, word, ended = self.config, self.frames.payload, state.ended
        several = config.in_pieces
        taking = Signal()
        groups = taking.replicate(config.groups)
        m.d.comb += [
            self.write.address.eq(state.address),
            self.write.data.eq(word.data.replicate(config.arrays)),
            self.write.enable.eq(groups if state.banks is None else Cat(groups, state.banks)),
        ]

        def again(into: str) -> None:
            if several:
                m.d.comb += state.again.eq(1)
                m.next = "idle"
            else:
                m.d.sync += restart
                m.next = into

        with m.State("input"):
            m.d.comb += [self.writing.eq(1), self.frames.ready.eq(1)]
            with m.If(self.frames.valid):
                m.d.comb += taking.eq(1)
                m.d.sync += [state.address.eq(state.address + 1), state.left.eq(state.left - 1)]
                with m.If(ended & word.last & state.last if several else ended & word.last):
                    m.d.comb += [state.done.eq(1), state.input_done.eq(1)]
                    m.next = "idle"
                with m.Elif(word.last):
                    m.d.comb += self.events.dropped.eq(1)
                    again("input")
                if several:
                    with m.Elif(ended & ~state.last):
                        m.d.comb += state.done.eq(1)
                        m.next = "idle"
                with m.Elif(ended):
                    m.d.comb += self.events.dropped.eq(1)
                    m.next = "drop"
        with m.State("drop"):
            m.d.comb += self.frames.ready.eq(1)
            with m.If(self.frames.valid & word.last):
                again("input")

    def _packed(self, m: Module, state: _Registers) -> None:
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
            state.input_done.eq(port.received),
        ]
        early = self.transfer.words.last  # INPUT has ``early`` there
        with m.State("input"):
            m.d.comb += state.done.eq(Mux(early, port.received, port.done))
            with m.If(state.done):
                m.next = "idle"

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """An address and a counter; three marks of words, two answers, and four states, or three and a packer."""
        address = config.activation_address_bits
        count = instruction_layout(config, Opcode.OUTPUT)["count"].width
        several = config.arrays > 1
        return Facts(
            registers={
                "address": address,
                "left": count + 1,
                "control": 3 + 2 + 2 + config.in_pieces,
                "banks": config.arrays * several,
            },
            adders={"address": address},
            muxes={"banks": (config.arrays - 1) * config.word_bits},
            gates={"control": 1},
            inside=[Inside("packer", Packer.facts(config))] if config.raw_inputs else [],
        )
