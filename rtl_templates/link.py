"""The board's end of the link's protocol: requests executed once, their responses kept for repetition."""

from amaranth.hdl import Array, Cat, Module, Mux, Shape, ShapeLike, Signal, ValueLike
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.link.protocol import MAX_PACKET, MAX_PAYLOAD, VERSION, Request, Status, word_bytes
from hwquant.program.config import ArrayConfig
from hwquant.program.registers import REGISTER_BITS, Register
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, MemoryShape
from hwquant.rtl_templates.framing import BEAT
from hwquant.rtl_templates.ports import RegisterPort, word_layout

REGISTER_BYTES = word_bytes(REGISTER_BITS)


class _Memory:
    """What the executor remembers from state to state.

    Parameters
    ----------
    widest : int
        Bytes of the longest word.
    address : ShapeLike
        Shape of a register's address.
    """

    def __init__(self, widest: int, address: ShapeLike):
        self.opcode = Signal(8, reset_less=True)
        # What the response is made of. A notice is one that leaves the kept response as it is.
        self.number, self.ended = Signal(8, reset_less=True), Signal()  # of the request that arrives
        self.sequence = Signal(8)
        self.opened = Signal()
        self.status = Signal(Status, reset_less=True)
        self.length = Signal(range(MAX_PACKET))
        self.notice = Signal()
        self.reason = Signal(Status, reset_less=True)
        self.damaged = Signal()
        # Words.
        self.digit = Signal(range(max(widest, REGISTER_BYTES)))  # byte of a word or register
        self.left = Signal(8, reset_less=True)  # words to read
        self.low = Signal(8 * max(1, widest - 1), reset_less=True)  # all bytes of a word but the last
        self.register = Signal(address, reset_less=True)
        # The kept response. Block RAM answers late in a cycle: a byte takes two, one of them in a register of its own.
        self.index = Signal(range(MAX_PACKET))
        self.kept = Signal(8, reset_less=True)
        self.fetched, self.moved = Signal(), Signal()


class LinkExecutor(Component):
    """The executor of the host's requests, which never waits for an inference.

    The requests are those of :mod:`hwquant.link.protocol`, one at a time. Words of an input frame go to the
    accelerator as they leave the request's packet, words of a result into a memory, which keeps them until the next
    request.

    Throughput: a byte of a request a cycle; a byte of a kept response every two cycles.

    Parameters
    ----------
    config : ArrayConfig
        Widths of the accelerator's words.
    loadable : bool
        The accelerator's weights come from the host; LOAD is unknown otherwise.

    Attributes
    ----------
    word_bytes : int
        Bytes of a word of the activation memory.
    load_bytes : int
        Bytes of a word of the weight memory; 0 where the accelerator is not loadable.

    Members
    -------
    packets : In(stream.Signature(BEAT))
        Intact requests.
    damaged : In(1)
        A request arrived that was not intact.
    responses : Out(stream.Signature(BEAT))
        Responses, without their CRC.
    frames : Out(stream.Signature(word_layout(config)))
        Words of input frames, to the accelerator.
    results : In(stream.Signature(word_layout(config)))
        Words of results, from the accelerator.
    load : Out(stream.Signature(config.columns * config.slot_bits))
        Words of the weight memory, to the accelerator; only where it is loadable.
    bus : Out(RegisterPort)
        Access to the accelerator's registers.
    reset : Out(1)
        A session is opened: the accelerator is to be reset.
    opened : Out(1)
        There is a session.
    active : Out(1)
        A request is being executed or answered.
    """

    def __init__(self, config: ArrayConfig, *, loadable: bool = False):
        self.config = config
        self.loadable = loadable
        self.word_bytes = word_bytes(config.word_bits)
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
                "bus": Out(RegisterPort()),
                "reset": Out(1),
                "opened": Out(1),
                "active": Out(1),
            }
            | load
        )

    def elaborate(self, platform: object) -> Module:
        """Build the memory of the response, and the state machine of requests."""
        m = Module()
        widest = max(self.word_bytes, self.load_bytes)
        state = _Memory(widest, self.bus.address.shape())
        m.submodules.memory = memory = Memory(shape=8, depth=MAX_PACKET, init=[], attrs={"no_rw_check": 1})
        port, read = memory.write_port(), memory.read_port()
        # Which byte is kept takes a cycle to choose; it is not read before the response has begun.
        write = Signal(StructLayout({"en": 1, "addr": len(port.addr), "data": 8}))
        m.d.sync += [port.en.eq(write.en), port.addr.eq(write.addr), port.data.eq(write.data)]
        with m.If(self.damaged):
            m.d.sync += state.damaged.eq(1)
        request = self.packets.payload
        m.d.comb += [
            self.opened.eq(state.opened),
            self.bus.address.eq(state.register),
            write.addr.eq(state.length),
            self.frames.payload.data.eq(Cat(state.low, request.data)[-8 * self.word_bytes :]),
            self.frames.payload.last.eq(request.last & (state.opcode == _code(Request.LAST))),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.active.eq(~fsm.ongoing("idle"))
            self._header(m, state)
            self._open(m, state, write)
            self._write(m, state)
            self._read(m, state, write)
            self._peek(m, state, write)
            self._answer(m, state)
        m.d.comb += [
            state.moved.eq(state.fetched & self.responses.ready),
            read.addr.eq(state.index + state.moved),
        ]
        m.d.sync += state.kept.eq(read.data)
        return m

    def _header(self, m: Module, state: _Memory) -> None:
        """Add the states of a request's first two bytes: what it asks for, and whether it is the next one."""
        arrives, request = self.packets.valid, self.packets.payload
        with m.State("idle"):
            m.d.sync += [state.notice.eq(0), state.digit.eq(0), state.opcode.eq(request.data)]
            with m.If(arrives):
                m.d.comb += self.packets.ready.eq(1)
                m.d.sync += state.damaged.eq(0)
                m.next = "sequence"
            with m.Elif(state.damaged):
                m.d.sync += [state.damaged.eq(0), state.notice.eq(1), state.reason.eq(Status.DAMAGED)]
                m.next = "status"
        with m.State("sequence"):
            m.d.comb += self.packets.ready.eq(1)
            m.d.sync += [state.number.eq(request.data), state.ended.eq(request.last)]
            with m.If(arrives):
                m.next = "decide"
        with m.State("decide"):
            m.next = "skip"
            with m.If(state.opcode == _code(Request.OPEN)):
                m.d.comb += self.reset.eq(1)
                m.d.sync += [
                    state.opened.eq(1),
                    state.sequence.eq(state.number),
                    state.status.eq(Status.OK),
                    state.length.eq(0),
                ]
                m.next = "open"
            with m.Elif(~state.opened):
                m.d.sync += [state.notice.eq(1), state.reason.eq(Status.CLOSED)]
            with m.Elif(state.number == (state.sequence + 1)[:8]):
                m.d.sync += [
                    state.sequence.eq(state.number),
                    state.status.eq(Status.OK),
                    state.length.eq(0),
                ]
                self._begin(m, state)
            with m.Elif(state.number != state.sequence):
                m.d.sync += [state.notice.eq(1), state.reason.eq(Status.SEQUENCE)]
            with m.If(state.ended):
                m.next = "status"
        with m.State("skip"):
            m.d.comb += self.packets.ready.eq(1)
            with m.If(arrives & request.last):
                m.next = "status"

    def _begin(self, m: Module, state: _Memory) -> None:
        """Go to the state that executes a request of the expected number."""
        with m.Switch(state.opcode):
            with m.Case(_code(Request.WRITE), _code(Request.LAST)):
                with m.If(self.frames.ready):
                    m.next = "write"
                with m.Else():
                    m.d.sync += state.status.eq(Status.BUSY)
            if self.loadable:
                with m.Case(_code(Request.LOAD)):
                    m.next = "load"
            with m.Case(_code(Request.READ)):
                m.next = "count"
            with m.Case(_code(Request.PEEK)):
                m.next = "register"
            with m.Default():
                m.d.sync += state.status.eq(Status.UNKNOWN)

    def _open(self, m: Module, state: _Memory, write: Signal) -> None:
        """Add the state of OPEN, whose response returns the bytes of the request."""
        with m.State("open"):
            m.d.comb += self.packets.ready.eq(1)
            with m.If(self.packets.valid):
                _keep(m, state, write, self.packets.payload.data)
                with m.If(self.packets.payload.last):
                    m.next = "status"

    def _write(self, m: Module, state: _Memory) -> None:
        """Add the states of WRITE, LAST and LOAD: bytes into words, and these into a stream."""
        arrives, request = self.packets.valid, self.packets.payload
        with m.State("write"):
            final = state.digit == self.word_bytes - 1
            m.d.comb += [
                self.frames.valid.eq(arrives & final),
                self.packets.ready.eq(~final | self.frames.ready),
            ]
            with m.If(arrives & self.packets.ready):
                self._byte_in(m, state, final)
        if self.loadable:
            with m.State("load"):
                final = state.digit == self.load_bytes - 1
                m.d.comb += [
                    self.load.payload.eq(Cat(state.low, request.data)[-8 * self.load_bytes :]),
                    self.load.valid.eq(arrives & final),
                    self.packets.ready.eq(1),
                ]
                with m.If(arrives):
                    self._byte_in(m, state, final)

    def _byte_in(self, m: Module, state: _Memory, final: ValueLike) -> None:
        """Take a byte of a word, the ``final`` one or another."""
        request = self.packets.payload
        m.d.sync += [
            state.digit.eq(Mux(final, 0, state.digit + 1)),
            state.low.eq(Cat(state.low, request.data)[8:]),
        ]
        with m.If(request.last):
            m.next = "status"

    def _read(self, m: Module, state: _Memory, write: Signal) -> None:
        """Add the states of READ: words of the results, as many as are asked for, as fit, and as are there."""
        size, data = self.word_bytes, self.results.payload.data
        result = Array(data[8 * n : 8 * n + 8] for n in range(size))
        self._argument(m, "count", state.left, "read")
        with m.State("read"):
            final = state.digit == size - 1
            room = (state.digit != 0) | (state.length <= MAX_PAYLOAD - size)
            if size > 1:  # of a word that has begun, all bytes are kept
                m.d.comb += self.results.ready.eq(final)
            with m.If(self.results.valid & (state.left != 0) & room):
                _keep(m, state, write, result[state.digit])
                if size == 1:
                    m.d.comb += self.results.ready.eq(1)
                m.d.sync += [
                    state.digit.eq(Mux(final, 0, state.digit + 1)),
                    state.left.eq(state.left - final),
                ]
            with m.Else():
                m.next = "status"

    def _peek(self, m: Module, state: _Memory, write: Signal) -> None:
        """Add the states of PEEK: the bytes of a register."""
        self._argument(m, "register", state.register, "peek")
        with m.State("peek"):
            _keep(m, state, write, self.bus.read_data.word_select(state.digit, 8))
            m.d.sync += state.digit.eq(state.digit + 1)
            with m.If(state.digit == REGISTER_BYTES - 1):
                m.next = "status"

    def _argument(self, m: Module, name: str, register: Signal, following: str) -> None:
        """Add a state that takes the one byte of a request; the state ``skip`` drops what comes behind it."""
        with m.State(name):
            m.d.comb += self.packets.ready.eq(1)
            m.d.sync += register.eq(self.packets.payload.data)
            with m.If(self.packets.valid):
                m.next = following
                with m.If(~self.packets.payload.last):
                    m.next = "skip"

    def _answer(self, m: Module, state: _Memory) -> None:
        """Add the states of the response: its two bytes, then those that were kept."""
        responses = self.responses
        with m.State("status"):
            m.d.comb += [
                responses.valid.eq(1),
                responses.payload.data.eq(Mux(state.notice, state.reason, state.status) | VERSION << 4),
            ]
            m.d.sync += state.index.eq(0)
            with m.If(responses.ready):
                m.next = "echo"
        with m.State("echo"):
            m.d.comb += [
                responses.valid.eq(1),
                responses.payload.data.eq(state.sequence),
                responses.payload.last.eq(state.notice | (state.length == 0)),
            ]
            with m.If(responses.ready):
                m.next = "payload"
                with m.If(responses.payload.last):
                    m.next = "idle"
        with m.State("payload"):
            m.d.comb += [
                responses.valid.eq(state.fetched),
                responses.payload.data.eq(state.kept),
                responses.payload.last.eq(state.index == (state.length - 1)[: len(state.index)]),
            ]
            m.d.sync += state.fetched.eq(~state.moved)
            with m.If(state.moved):
                m.d.sync += state.index.eq(state.index + 1)
                with m.If(responses.payload.last):
                    m.next = "idle"

    @staticmethod
    def facts(config: ArrayConfig, *, loadable: bool = False) -> Facts:
        """A request, the memory of its response, and the bytes of a word that has not come completely."""
        size = word_bytes(config.word_bits)
        load = word_bytes(config.columns * config.slot_bits) if loadable else 0
        widest = max(size, load)
        return Facts(
            registers={
                "request": 8 + 8 + 8 + 8 + 8 + 1 + index_bits(len(Register)),
                "response": 2 * index_bits(MAX_PACKET) + 2 * Shape.cast(Status).width,
                "control": 4 + 4,  # four flags, up to thirteen states
                "digit": index_bits(max(widest, REGISTER_BYTES)),
                "word": 8 * max(1, widest - 1),
                "write": 1 + index_bits(MAX_PACKET) + 8,
            },
            muxes={"word": 8 * size, "load": 8 * load},
            gates={"control": 1, "loadable": int(loadable)},
            memories=[MemoryShape(MAX_PACKET, 8, apart=True, register="request")],
        )


def _code(request: Request) -> int:
    """The first byte of a request."""
    return VERSION << 4 | request


def _keep(m: Module, state: _Memory, write: Signal, byte: ValueLike) -> None:
    """Append a byte to the response."""
    m.d.comb += [write.en.eq(1), write.data.eq(byte)]
    m.d.sync += state.length.eq(state.length + 1)
