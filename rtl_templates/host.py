"""The engines that move words between the host's streams and the activation memory."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.jobs import instruction_layout
from hwquant.rtl_templates.ports import FrameEvents, ReadPort, TransferPort, WritePort, word_layout


class HostPort(Component):
    """The engine that executes INPUT and OUTPUT.

    An input frame whose ``last`` comes early or late is dropped: the engine reports it, waits for
    the end of the frame, and receives the next one in its place. Of several arrays, a frame may come in several inputs,
    each into a bank or into all of them: there the first input has to begin again.

    Throughput: a word a cycle while the host keeps up.

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
    frames : In(stream.Signature(word_layout(config)))
        Words from the host.
    results : Out(stream.Signature(word_layout(config)))
        Words to the host.
    reading : Out(1)
        An output is being sent: the read port of the memory is the host's.
    read : Out(ReadPort)
        Address of the word that is read.
    data : In(config.arrays * config.word_bits)
        The word of each bank that was read, ``read_latency`` advancing cycles after its address.
    writing : Out(1)
        An input is being received: the write port of the memory is the host's.
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
                "frames": In(word),
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
        address = Signal(self.config.activation_address_bits, reset_less=True)
        # Below zero where none is left: the sign tells, no comparison is in the way.
        wanted = self.transfer.words
        left = Signal(signed(len(wanted["count"]) + 1))
        ended = left[-1]
        word = self.frames.payload
        fetched = Signal()
        valid = Signal()
        final = Signal()
        last = Signal(reset_less=True)
        taking = Signal()
        done = Signal()
        input_done = Signal()
        several = self.config.arrays > 1
        banks = Signal(self.config.arrays, reset_less=True) if several else None
        again = Signal() if several else Const(0)
        # Registered, so that nothing depends on the host's signals in the same cycle.
        m.d.sync += [self.transfer.done.eq(done), self.events.received.eq(input_done)]
        m.d.comb += [
            self.events.sending.eq(self.transfer.send),
            self.read.address.eq(address),
            self.write.address.eq(address),
            self.write.data.eq(word.data.replicate(self.config.arrays)),
            self.write.enable.eq(self._enable(taking, banks)),
            self.results.payload.data.eq(self._word(banks)),
            self.results.payload.last.eq(final & ~fetched & last),
        ]
        # An input ends with its last word, an output when that word has been fetched and moved on.
        restart = [address.eq(wanted.address), left.eq(wanted["count"] - 2)]
        if banks is not None:
            # A frame may go on in the next input, and begins with the first one.
            restart += [banks.eq(wanted.banks), last.eq(wanted.last)]
            m.d.sync += self.transfer.again.eq(again)
        with m.FSM():
            with m.State("idle"):
                with m.If(self.transfer.receive):
                    m.d.sync += restart
                    m.next = "input"
                with m.Elif(self.transfer.send):
                    m.d.sync += [*restart, left.eq(wanted["count"] - 1), last.eq(wanted.last)]
                    m.next = "output"
            with m.State("input"):
                m.d.comb += [self.writing.eq(1), self.frames.ready.eq(1)]
                with m.If(self.frames.valid):
                    m.d.comb += taking.eq(1)
                    m.d.sync += [address.eq(address + 1), left.eq(left - 1)]
                    with m.If(ended & word.last & last if several else ended & word.last):
                        m.d.comb += [done.eq(1), input_done.eq(1)]
                        m.next = "idle"
                    with m.Elif(word.last):
                        m.d.comb += self.events.dropped.eq(1)
                        if several:
                            m.d.comb += again.eq(1)
                            m.next = "idle"
                        else:
                            m.d.sync += restart
                    if several:
                        with m.Elif(ended & ~last):
                            m.d.comb += done.eq(1)
                            m.next = "idle"
                    with m.Elif(ended):
                        m.d.comb += self.events.dropped.eq(1)
                        m.next = "drop"
            with m.State("drop"):
                m.d.comb += self.frames.ready.eq(1)
                with m.If(self.frames.valid & word.last):
                    if several:
                        m.d.comb += again.eq(1)
                        m.next = "idle"
                    else:
                        m.d.sync += restart
                        m.next = "input"
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

    def _enable(self, taking: Signal, banks: Signal | None) -> Value:
        """The write groups of a word that is taken, and the banks."""
        groups = taking.replicate(self.config.groups)
        return groups if banks is None else Cat(groups, banks)

    def _word(self, banks: Signal | None) -> Value:
        """The word that was read, of the bank that it comes from."""
        if banks is None:
            return self.data
        bits = self.config.word_bits
        words = [self.data[k * bits : (k + 1) * bits] & bank.replicate(bits) for k, bank in enumerate(banks)]
        return reduce(or_, words)

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """An address and a counter; three marks of words, two answers, and four states."""
        address = config.activation_address_bits
        count = instruction_layout(config, Opcode.OUTPUT)["count"].width
        several = config.arrays > 1
        return Facts(
            registers={
                "address": address,
                "left": count + 1,
                "control": 3 + 2 + 2 + several,
                "banks": config.arrays * several,
            },
            adders={"address": address},
            muxes={"banks": (config.arrays - 1) * config.word_bits},
            gates={"control": 1},
        )
