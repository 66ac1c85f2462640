"""The board's end of the link's protocol: requests executed once, their responses kept for repetition."""

from amaranth.hdl import Array, Cat, Module, Mux, Shape, Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.link.protocol import MAX_PACKET, MAX_PAYLOAD, VERSION, Opcode, Status, word_bytes
from hwquant.program.config import ArrayConfig, index_bits
from hwquant.rtl_templates.core import word_layout
from hwquant.rtl_templates.facts import Facts, MemoryShape
from hwquant.rtl_templates.framing import BEAT
from hwquant.rtl_templates.registers import Register, RegisterFile

REGISTER_BYTES = 4


class LinkExecutor(Component):
    """Executes requests (see :mod:`hwquant.link.protocol`), one at a time, and never waits for an inference.

    Words of an input frame go to the accelerator as they leave the request's packet, words of a result into a
    memory, which keeps them until the next request.

    Parameters
    ----------
    config : of the accelerator
    loadable : the accelerator's weights come from the host; LOAD is unknown otherwise

    Members
    -------
    packets : In, stream of intact requests; damaged : In, another one was not
    responses : Out, stream of responses
    frames : Out, results : In, the accelerator's streams; load : Out, where it is loadable
    bus : Out, its registers
    reset : Out, a session is opened: the accelerator is to be reset
    opened : Out, there is a session; active : Out, a request is being executed or answered
    """

    def __init__(self, config: ArrayConfig, *, loadable: bool = False):
        self.config = config
        self.loadable = loadable
        weights = config.columns * config.slot_bits
        self.load_bytes = word_bytes(weights) if loadable else 0
        load = {"load": Out(stream.Signature(weights))} if loadable else {}
        word = stream.Signature(word_layout(config))
        super().__init__(
            {
                "packets": In(stream.Signature(BEAT)),
                "damaged": In(1),
                "responses": Out(stream.Signature(BEAT)),
                "frames": Out(word),
                "results": In(word),
                "bus": Out(RegisterFile.bus_signature()),
                "reset": Out(1),
                "opened": Out(1),
                "active": Out(1),
            }
            | load
        )

    def elaborate(self, platform):
        m = Module()
        size = word_bytes(self.config.word_bits)
        request = self.packets.payload
        arrives = self.packets.valid
        m.submodules.memory = memory = Memory(shape=8, depth=MAX_PACKET, init=[])
        write, read = memory.write_port(), memory.read_port()

        opcode = Signal(8, reset_less=True)
        # What the response is made of. A notice is one that leaves the kept response as it is.
        sequence = Signal(8)
        opened = Signal()
        status = Signal(Status, reset_less=True)
        length = Signal(range(MAX_PACKET))
        notice = Signal()
        reason = Signal(Status, reset_less=True)
        damaged = Signal()

        widest = max(size, self.load_bytes)
        digit = Signal(range(max(widest, REGISTER_BYTES)))  # byte of a word or register
        left = Signal(8, reset_less=True)  # words to read
        low = Signal(8 * max(1, widest - 1), reset_less=True)  # all bytes of a word but the last
        data = self.results.payload.data
        result = Array(data[8 * n : 8 * n + 8] for n in range(size))
        index = Signal(range(MAX_PACKET))
        # Block RAM answers late in a cycle: a kept byte takes two, one of them in a register of its own.
        kept = Signal(8, reset_less=True)
        fetched, moved = Signal(), Signal()
        register = Signal(self.bus.address.shape(), reset_less=True)

        with m.If(self.damaged):
            m.d.sync += damaged.eq(1)
        m.d.comb += [
            self.opened.eq(opened),
            self.bus.address.eq(register),
            write.addr.eq(length),
            self.frames.payload.data.eq(Cat(low, request.data)[-8 * size :]),
            self.frames.payload.last.eq(request.last & (opcode == self._code(Opcode.LAST))),
        ]

        def keep(byte):
            """Appends a byte to the response."""
            return [write.en.eq(1), write.data.eq(byte)], [length.eq(length + 1)]

        with m.FSM() as fsm:
            m.d.comb += self.active.eq(~fsm.ongoing("idle"))
            with m.State("idle"):
                m.d.sync += [notice.eq(0), digit.eq(0), opcode.eq(request.data)]
                with m.If(arrives):
                    m.d.comb += self.packets.ready.eq(1)
                    m.d.sync += damaged.eq(0)
                    m.next = "sequence"
                with m.Elif(damaged):
                    m.d.sync += [damaged.eq(0), notice.eq(1), reason.eq(Status.DAMAGED)]
                    m.next = "status"
            with m.State("sequence"):
                m.d.comb += self.packets.ready.eq(1)
                with m.If(arrives):
                    m.next = "skip"
                    with m.If(opcode == self._code(Opcode.OPEN)):
                        m.d.comb += self.reset.eq(1)
                        m.d.sync += [
                            opened.eq(1),
                            sequence.eq(request.data),
                            status.eq(Status.OK),
                            length.eq(0),
                        ]
                        m.next = "open"
                    with m.Elif(~opened):
                        m.d.sync += [notice.eq(1), reason.eq(Status.CLOSED)]
                    with m.Elif(request.data == (sequence + 1)[:8]):
                        m.d.sync += [sequence.eq(request.data), status.eq(Status.OK), length.eq(0)]
                        with m.Switch(opcode):
                            with m.Case(self._code(Opcode.WRITE), self._code(Opcode.LAST)):
                                with m.If(self.frames.ready):
                                    m.next = "write"
                                with m.Else():
                                    m.d.sync += status.eq(Status.BUSY)
                            if self.loadable:
                                with m.Case(self._code(Opcode.LOAD)):
                                    m.next = "load"
                            with m.Case(self._code(Opcode.READ)):
                                m.next = "count"
                            with m.Case(self._code(Opcode.PEEK)):
                                m.next = "register"
                            with m.Default():
                                m.d.sync += status.eq(Status.UNKNOWN)
                    with m.Elif(request.data != sequence):
                        m.d.sync += [notice.eq(1), reason.eq(Status.SEQUENCE)]
                    with m.If(request.last):
                        m.next = "status"
            with m.State("skip"):
                m.d.comb += self.packets.ready.eq(1)
                with m.If(arrives & request.last):
                    m.next = "status"

            with m.State("open"):
                m.d.comb += self.packets.ready.eq(1)
                with m.If(arrives):
                    self._apply(m, keep(request.data))
                    with m.If(request.last):
                        m.next = "status"
            with m.State("write"):
                final = digit == size - 1
                m.d.comb += [
                    self.frames.valid.eq(arrives & final),
                    self.packets.ready.eq(~final | self.frames.ready),
                ]
                with m.If(arrives & self.packets.ready):
                    m.d.sync += [digit.eq(Mux(final, 0, digit + 1)), low.eq(Cat(low, request.data)[8:])]
                    with m.If(request.last):
                        m.next = "status"
            if self.loadable:
                with m.State("load"):
                    final = digit == self.load_bytes - 1
                    m.d.comb += [
                        self.load.payload.eq(Cat(low, request.data)[-8 * self.load_bytes :]),
                        self.load.valid.eq(arrives & final),
                        self.packets.ready.eq(1),
                    ]
                    with m.If(arrives):
                        m.d.sync += [digit.eq(Mux(final, 0, digit + 1)), low.eq(Cat(low, request.data)[8:])]
                        with m.If(request.last):
                            m.next = "status"
            with m.State("count"):
                m.d.comb += self.packets.ready.eq(1)
                m.d.sync += left.eq(request.data)
                with m.If(arrives):
                    m.next = "read"
                    with m.If(~request.last):
                        m.next = "skip"
            with m.State("read"):
                final = digit == size - 1
                room = (digit != 0) | (length <= MAX_PAYLOAD - size)
                with m.If(self.results.valid & (left != 0) & room):
                    self._apply(m, keep(result[digit]))
                    m.d.comb += self.results.ready.eq(final)
                    m.d.sync += [digit.eq(Mux(final, 0, digit + 1)), left.eq(left - final)]
                with m.Else():
                    m.next = "status"
            with m.State("register"):
                m.d.comb += self.packets.ready.eq(1)
                m.d.sync += register.eq(request.data)
                with m.If(arrives):
                    m.next = "peek"
                    with m.If(~request.last):
                        m.next = "skip"
            with m.State("peek"):
                self._apply(m, keep(self.bus.read_data.word_select(digit, 8)))
                m.d.sync += digit.eq(digit + 1)
                with m.If(digit == REGISTER_BYTES - 1):
                    m.next = "status"

            with m.State("status"):
                m.d.comb += [
                    self.responses.valid.eq(1),
                    self.responses.payload.data.eq(Mux(notice, reason, status) | VERSION << 4),
                ]
                m.d.sync += index.eq(0)
                with m.If(self.responses.ready):
                    m.next = "echo"
            with m.State("echo"):
                m.d.comb += [
                    self.responses.valid.eq(1),
                    self.responses.payload.data.eq(sequence),
                    self.responses.payload.last.eq(notice | (length == 0)),
                ]
                with m.If(self.responses.ready):
                    m.next = "payload"
                    with m.If(self.responses.payload.last):
                        m.next = "idle"
            with m.State("payload"):
                m.d.comb += [
                    self.responses.valid.eq(fetched),
                    self.responses.payload.data.eq(kept),
                    self.responses.payload.last.eq(index == (length - 1)[: len(index)]),
                ]
                m.d.sync += fetched.eq(~moved)
                with m.If(moved):
                    m.d.sync += index.eq(index + 1)
                    with m.If(self.responses.payload.last):
                        m.next = "idle"
        m.d.comb += [moved.eq(fetched & self.responses.ready), read.addr.eq(index + moved)]
        m.d.sync += kept.eq(read.data)
        return m

    @staticmethod
    def _code(opcode: Opcode) -> int:
        return VERSION << 4 | opcode

    @staticmethod
    def _apply(m, statements):
        combinational, synchronous = statements
        m.d.comb += combinational
        m.d.sync += synchronous

    @staticmethod
    def facts(config: ArrayConfig, *, loadable: bool = False) -> Facts:
        """A request, the memory of its response, and the bytes of a word that has not come completely."""
        size = word_bytes(config.word_bits)
        load = word_bytes(config.columns * config.slot_bits) if loadable else 0
        widest = max(size, load)
        return Facts(
            registers={
                "request": 8 + 8 + 8 + 8 + index_bits(len(Register)),
                "response": 2 * index_bits(MAX_PACKET) + 2 * Shape.cast(Status).width,
                "control": 4 + 4,  # four flags, up to twelve states
                "digit": index_bits(max(widest, REGISTER_BYTES)),
                "word": 8 * max(1, widest - 1),
            },
            muxes={"word": 8 * size, "load": 8 * load},
            gates={"control": 1, "loadable": int(loadable)},
            memories=[MemoryShape(MAX_PACKET, 8)],
        )
