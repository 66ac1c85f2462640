"""The engines that move words between the host's streams and the activation memory."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.jobs import instruction_layout


class HostPort(Component):
    """Executes INPUT and OUTPUT, a word a cycle while the host keeps up.

    An input frame whose ``last`` comes early or late is dropped: the engine reports ``framing``, waits for
    the end of the frame, and receives the next one in its place.

    Members
    -------
    input_start, output_start : In, with transfer (address, count, and whether an output ends the frame)
    done : Out, the last word has moved in the cycle before; input_done : Out, and it was an input
    framing : Out, a frame was dropped
    frames, results : the host's streams
    writing, write_enable, write_data : Out; reading, advance : Out; read_data : In; address : Out, the memory
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        word = StructLayout({"data": config.word_bits, "last": 1})
        super().__init__(
            {
                "input_start": In(1),
                "output_start": In(1),
                "transfer": In(instruction_layout(config, Opcode.OUTPUT)),
                "done": Out(1),
                "input_done": Out(1),
                "framing": Out(1),
                "frames": In(stream.Signature(word)),
                "results": Out(stream.Signature(word)),
                "writing": Out(1),
                "write_enable": Out(1),
                "write_data": Out(config.word_bits),
                "reading": Out(1),
                "advance": Out(1),
                "read_data": In(config.word_bits),
                "address": Out(config.activation_address_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        address = Signal(self.config.activation_address_bits, reset_less=True)
        # Below zero where none is left: the sign tells, no comparison is in the way.
        left = Signal(signed(len(self.transfer["count"]) + 1))
        ended = left[-1]
        word = self.frames.payload
        fetched = Signal()
        valid = Signal()
        final = Signal()
        last = Signal(reset_less=True)
        done = Signal()
        input_done = Signal()
        # Registered, so that nothing depends on the host's signals in the same cycle.
        m.d.sync += [self.done.eq(done), self.input_done.eq(input_done)]
        m.d.comb += [
            self.address.eq(address),
            self.write_data.eq(word.data),
            self.results.payload.data.eq(self.read_data),
            self.results.payload.last.eq(final & ~fetched & last),
        ]
        # An input ends with its last word, an output when that word has been fetched and moved on.
        restart = [address.eq(self.transfer.address), left.eq(self.transfer["count"] - 2)]
        with m.FSM():
            with m.State("idle"):
                with m.If(self.input_start):
                    m.d.sync += restart
                    m.next = "input"
                with m.Elif(self.output_start):
                    m.d.sync += [*restart, left.eq(self.transfer["count"] - 1), last.eq(self.transfer.last)]
                    m.next = "output"
            with m.State("input"):
                m.d.comb += [self.writing.eq(1), self.frames.ready.eq(1)]
                with m.If(self.frames.valid):
                    m.d.comb += self.write_enable.eq(1)
                    m.d.sync += [address.eq(address + 1), left.eq(left - 1)]
                    with m.If(ended & word.last):
                        m.d.comb += [done.eq(1), input_done.eq(1)]
                        m.next = "idle"
                    with m.Elif(word.last):
                        m.d.comb += self.framing.eq(1)
                        m.d.sync += restart
                    with m.Elif(ended):
                        m.d.comb += self.framing.eq(1)
                        m.next = "drop"
            with m.State("drop"):
                m.d.comb += self.frames.ready.eq(1)
                with m.If(self.frames.valid & word.last):
                    m.d.sync += restart
                    m.next = "input"
            with m.State("output"):
                # Address, memory, register: all stand still while the host does not take the register's word.
                m.d.comb += [
                    self.reading.eq(1),
                    self.results.valid.eq(valid),
                    self.advance.eq(~valid | self.results.ready),
                    final.eq(ended),
                ]
                with m.If(self.advance):
                    m.d.sync += [fetched.eq(~ended), valid.eq(fetched), address.eq(address + 1)]
                    with m.If(~ended):
                        m.d.sync += left.eq(left - 1)
                    with m.If(valid & ~fetched & ended):
                        m.d.comb += done.eq(1)
                        m.next = "idle"
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """An address and a counter; three marks of words, two answers, and four states."""
        address = config.activation_address_bits
        count = instruction_layout(config, Opcode.OUTPUT)["count"].width
        return Facts(
            registers={"address": address, "left": count + 1, "control": 3 + 2 + 2},
            adders={"address": address},
            gates={"control": 1},
        )
