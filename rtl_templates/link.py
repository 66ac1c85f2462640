"""The board's end of the link's protocol: requests executed once, their responses kept for repetition."""

from amaranth.hdl import Array, Cat, Module, Mux, Shape, ValueLike
from amaranth.lib import stream
from amaranth.lib.memory import Memory, WritePort
from amaranth.lib.wiring import Component, In, Out

from hwquant.link.protocol import (
    PATIENCE,
    PREFIX_BYTES,
    REGISTER_BYTES,
    SEQUENCE_BYTES,
    VERSION,
    Request,
    Status,
    Window,
    word_bytes,
)
from hwquant.program.config import ArrayConfig
from hwquant.program.registers import Register
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, MemoryShape
from hwquant.rtl_templates.framing import BEAT
from hwquant.rtl_templates.link_answer import ExecutorState, add_answer, add_keeping, append
from hwquant.rtl_templates.ports import RegisterPort, frame_layout, word_layout


class LinkExecutor(Component):
    """The executor of the host's requests, which waits for an inference no longer than ``patience`` cycles.

    The requests are those of :mod:`hwquant.link.protocol`, in the order of their numbers. Beats of an input frame go to
    the accelerator as they leave the request's packet, words of a result into a memory, where the responses of the last
    window of requests are kept, each in a buffer of its own: its length, its status, its payload.

    Throughput: a byte of a request a cycle; a byte of a kept response every two cycles.

    Parameters
    ----------
    config : ArrayConfig
        Widths of the accelerator's words.
    window : Window
        How many responses are kept, and how long they may be.
    patience : int, default PATIENCE
        Cycles that a request waits for the accelerator, a power of two.
    loadable : bool
        The accelerator's weights, or what external memory has, come from the host; LOAD is unknown otherwise.

    Attributes
    ----------
    frame_bytes : int
        Bytes of a beat of an input frame.
    word_bytes : int
        Bytes of a word of the activation memory.
    load_bytes : int
        Bytes of a word of the weight memory, or of a beat of external memory; 0 where the host loads neither.

    Members
    -------
    packets : In(stream.Signature(BEAT))
        Intact requests.
    damaged : In(1)
        A request arrived that was not intact.
    responses : Out(stream.Signature(BEAT))
        Responses, without their CRC.
    frames : Out(stream.Signature(frame_layout(config)))
        Beats of input frames, to the accelerator.
    results : In(stream.Signature(word_layout(config)))
        Words of results, from the accelerator.
    load : Out(stream.Signature(8 * load_bytes))
        Words of the weight memory, to the accelerator, or beats of external memory; only where the host loads them.
    bus : Out(RegisterPort)
        Access to the accelerator's registers.
    reset : Out(1)
        A session is opened: the accelerator is to be reset.
    resetting : In(1)
        That has not been done yet: OPEN is not answered. Only where there is external memory.
    opened : Out(1)
        There is a session.
    active : Out(1)
        A request is being executed or answered.
    """

    def __init__(
        self, config: ArrayConfig, window: Window, *, patience: int = PATIENCE, loadable: bool = False
    ):
        self.config, self.window, self.patience = config, window, patience
        self.loadable = loadable
        self.frame_bytes = word_bytes(config.frame_bits)
        self.word_bytes = word_bytes(config.word_bits)
        loaded = config.load_bits
        self.load_bytes = word_bytes(loaded) if loadable else 0
        load = {"load": Out(stream.Signature(loaded))} if loadable else {}
        resetting = {"resetting": In(1)} if config.external_bits else {}
        word = stream.Signature(word_layout(config))
        super().__init__(
            {
                "packets": In(stream.Signature(BEAT)),
                "damaged": In(1),
                "responses": Out(stream.Signature(BEAT)),
                "frames": Out(stream.Signature(frame_layout(config))),
                "results": In(word),
                "bus": Out(RegisterPort()),
                "reset": Out(1),
                "opened": Out(1),
                "active": Out(1),
            }
            | load
            | resetting
        )

    def elaborate(self, platform: object) -> Module:
        """Build the memory of the responses, and the state machine of requests."""
        m = Module()
        window = self.window
        sent = max(self.frame_bytes, self.load_bytes)
        state = ExecutorState(self.word_bytes, sent, self.bus.address.shape(), window, self.patience)
        depth = window.packets * window.packet_bytes
        m.submodules.memory = memory = Memory(shape=8, depth=depth, init=[], attrs={"no_rw_check": 1})
        written, read = memory.write_port(), memory.read_port()
        # Bytes come from many places: they take a cycle to be chosen, and are there long before they are read.
        write = written.signature.create()
        m.d.sync += [written.en.eq(write.en), written.addr.eq(write.addr), written.data.eq(write.data)]
        buffer = state.current[: index_bits(window.packets)]
        request = self.packets.payload
        m.d.comb += [
            self.opened.eq(state.opened),
            self.bus.address.eq(state.register),
            write.addr.eq(Cat(state.end, buffer)),
            read.addr.eq(Cat((state.index + state.moved)[: len(state.index)], buffer)),
            read.en.eq(0),  # but where a byte is used
            self.frames.payload.data.eq(Cat(state.low, request.data)[-8 * self.frame_bytes :]),
            self.frames.payload.last.eq(request.last & (state.opcode == _code(Request.LAST))),
        ]
        m.d.sync += state.executed.eq(0)
        with m.If(state.executed):
            m.d.sync += state.latest.eq(state.current)
        with m.FSM() as fsm:
            m.d.comb += self.active.eq(~fsm.ongoing("idle"))
            self._header(m, state)
            self._decide(m, state)
            self._open(m, state, write)
            self._write(m, state)
            self._read(m, state, write)
            self._peek(m, state, write)
            add_keeping(m, state, write, read, buffer)
            add_answer(m, state, read, self.responses)
        with m.If(self.damaged):
            m.d.sync += state.damaged.eq(1)
        m.d.comb += state.moved.eq(state.fetched & self.responses.ready)
        with m.If(read.en):  # as a register has it that is the memory's own
            m.d.sync += state.kept.eq(read.data)
        return m

    def _header(self, m: Module, state: ExecutorState) -> None:
        """Add the states of a request's first bytes: what it asks for, and its number."""
        arrives, request = self.packets.valid, self.packets.payload
        with m.State("idle"):
            m.d.sync += [
                *(state.notice.eq(0), state.silent.eq(0), state.digit.eq(0), state.waited.eq(0)),
                state.opcode.eq(request.data),
            ]
            with m.If(state.damaged):
                m.d.sync += [
                    *(state.damaged.eq(0), state.notice.eq(1), state.status.eq(Status.DAMAGED)),
                    state.current.eq(state.latest),
                ]
                m.next = "status"
            with m.Elif(arrives):
                m.d.comb += self.packets.ready.eq(1)
                m.next = "low"
        for name, half, following in (
            ("low", state.current[:8], "high"),
            ("high", state.current[8:], "compare"),
        ):
            with m.State(name):
                m.d.comb += self.packets.ready.eq(1)
                m.d.sync += state.ended.eq(request.last)
                with m.If(arrives):
                    m.d.sync += half.eq(request.data)
                    m.next = following

    def _decide(self, m: Module, state: ExecutorState) -> None:
        """Add the states that tell the request that is next from those that were, and from others."""
        before = (state.latest - state.current)[: len(state.latest)]
        with m.State("compare"):
            m.d.sync += [
                state.following.eq(before.all()),
                state.answered.eq(before < self.window.packets),
                state.late.eq(state.opened & (state.current == state.origin) & (before != 0)),
            ]
            m.next = "decide"
        with m.State("decide"):
            m.next = "skip"
            with m.If(state.opcode == _code(Request.OPEN)):
                with m.If(state.late):
                    m.d.sync += state.silent.eq(1)
                with m.Else():
                    m.d.comb += self.reset.eq(1)
                    m.d.sync += [
                        *(state.opened.eq(1), state.origin.eq(state.current)),
                        *(state.end.eq(PREFIX_BYTES), state.part.eq(0)),
                    ]
                    self._executes(m, state)
                    m.next = "open"
            with m.Elif(~state.opened):
                m.d.sync += [state.notice.eq(1), state.status.eq(Status.CLOSED)]
            with m.Elif(state.following):
                with m.If((state.opcode != _code(Request.READ)) | ~state.part):
                    m.d.sync += [state.end.eq(PREFIX_BYTES), state.part.eq(0)]
                self._begin(m, state)
            with m.Elif(state.answered):
                m.next = "again"
            with m.Else():
                m.d.sync += [
                    *(state.notice.eq(1), state.silent.eq(state.rejected), state.rejected.eq(1)),
                    *(state.status.eq(Status.SEQUENCE), state.current.eq(state.latest)),
                ]
        with m.State("skip"):
            with m.If(state.ended):
                m.next = "status"
                with m.If(state.silent):
                    m.next = "idle"
                with m.Elif(~state.notice):
                    m.next = "length"
            with m.Else():
                self._take(m, state)
        with m.State("again"):
            with m.If(state.ended):
                m.next = "fetch"
            with m.Else():
                self._take(m, state)

    def _take(self, m: Module, state: ExecutorState) -> None:
        """Take a byte of the request."""
        m.d.comb += self.packets.ready.eq(1)
        with m.If(self.packets.valid):
            m.d.sync += state.ended.eq(self.packets.payload.last)

    def _executes(self, m: Module, state: ExecutorState) -> None:
        """The request is executed: the next one is expected, and its response begins."""
        m.d.sync += [state.executed.eq(1), state.status.eq(Status.OK), state.rejected.eq(0)]

    def _begin(self, m: Module, state: ExecutorState) -> None:
        """Go to the state that executes a request of the expected number; without its payload it does nothing."""
        following = {
            "room": [Request.WRITE, Request.LAST],
            "count": [Request.READ],
            "register": [Request.PEEK],
        } | ({"load": [Request.LOAD]} if self.loadable else {})
        with m.Switch(state.opcode):
            for name, requests in following.items():
                with m.Case(*map(_code, requests)):
                    with m.If(state.ended):
                        self._executes(m, state)
                    with m.Else():
                        m.next = name
            with m.Default():
                self._executes(m, state)
                m.d.sync += state.status.eq(Status.UNKNOWN)

    def _open(self, m: Module, state: ExecutorState, write: WritePort) -> None:
        """Add the states of OPEN, whose response returns the bytes of the request, and those of the window."""
        with m.State("open"):
            with m.If(state.ended):
                m.next = "reset" if self.config.external_bits else "window"
            with m.Else():
                self._take(m, state)
                with m.If(self.packets.valid):
                    append(m, state, write, self.packets.payload.data)
        if self.config.external_bits:
            with m.State("reset"), m.If(~self.resetting):
                m.next = "window"
        with m.State("window"):
            packets, size = self.window.encode()
            append(m, state, write, Mux(state.digit[0], size, packets))
            m.d.sync += state.digit.eq(1)
            with m.If(state.digit[0]):
                m.next = "skip"

    def _write(self, m: Module, state: ExecutorState) -> None:
        """Add the states of WRITE, LAST and LOAD: bytes into words, and these into a stream."""
        arrives, request = self.packets.valid, self.packets.payload
        with m.State("room"):
            with m.If(self.frames.ready):
                self._executes(m, state)
                m.next = "write"
            with m.Else():
                self._wait(m, state)
        with m.State("write"):
            final = state.digit == self.frame_bytes - 1
            m.d.comb += [
                self.frames.valid.eq(arrives & final),
                self.packets.ready.eq(~final | self.frames.ready),
            ]
            with m.If(arrives & self.packets.ready):
                self._byte_in(m, state, final)
        if self.loadable:
            with m.State("load"):
                final = state.digit == self.load_bytes - 1
                self._executes(m, state)
                m.d.comb += [
                    self.load.payload.eq(Cat(state.low, request.data)[-8 * self.load_bytes :]),
                    self.load.valid.eq(arrives & final),
                    self.packets.ready.eq(~final | self.load.ready if self.config.external_bits else 1),
                ]
                with m.If(arrives & self.packets.ready if self.config.external_bits else arrives):
                    self._byte_in(m, state, final)

    def _byte_in(self, m: Module, state: ExecutorState, final: ValueLike) -> None:
        """Take a byte of a word, the ``final`` one or another."""
        request = self.packets.payload
        m.d.sync += [
            state.digit.eq(Mux(final, 0, state.digit + 1)),
            state.low.eq(Cat(state.low, request.data)[8:]),
            state.ended.eq(request.last),
        ]
        with m.If(request.last):
            m.next = "skip"

    def _wait(self, m: Module, state: ExecutorState) -> None:
        """Wait another cycle for the accelerator, or leave the request."""
        m.d.sync += state.waited.eq(state.waited + 1)
        with m.If(state.waited.all()):
            m.d.sync += [state.notice.eq(1), state.status.eq(Status.BUSY), state.rejected.eq(1)]
            m.next = "skip"

    def _read(self, m: Module, state: ExecutorState, write: WritePort) -> None:
        """Add the states of READ: words of the results, as many as are asked for, or as fit."""
        size, data = self.word_bytes, self.results.payload.data
        result = Array(data[8 * n : 8 * n + 8] for n in range(size))
        most = PREFIX_BYTES + self.window.payload - size
        m.d.sync += state.room.eq(state.end <= most)
        with m.State("count"):
            self._take(m, state)
            with m.If(self.packets.valid):
                with m.If(~state.part):
                    m.d.sync += state.left.eq(self.packets.payload.data)
                m.next = "read"
        with m.State("read"):
            m.d.sync += state.part.eq((state.left != 0) & state.room)
            with m.If((state.left == 0) | ~state.room):
                self._executes(m, state)
                m.next = "skip"
            with m.Elif(self.results.valid):
                m.next = "word"
            with m.Else():
                self._wait(m, state)
        with m.State("word"):
            final = state.digit == size - 1
            append(m, state, write, result[state.digit])
            m.d.comb += self.results.ready.eq(final)
            m.d.sync += [state.digit.eq(state.digit + 1), state.room.eq(state.end < most)]
            with m.If(final):
                m.d.sync += [state.digit.eq(0), state.left.eq(state.left - 1)]
                m.next = "read"

    def _peek(self, m: Module, state: ExecutorState, write: WritePort) -> None:
        """Add the states of PEEK: the bytes of a register, all of the same cycle."""
        with m.State("register"):
            self._take(m, state)
            m.d.sync += state.register.eq(self.packets.payload.data)
            with m.If(self.packets.valid):
                m.next = "look"
        with m.State("look"):
            m.d.sync += state.value.eq(self.bus.read_data)
            m.next = "peek"
        with m.State("peek"):
            append(m, state, write, state.value[:8])
            m.d.sync += [state.value.eq(state.value >> 8), state.digit.eq(state.digit + 1)]
            self._executes(m, state)
            with m.If(state.digit == REGISTER_BYTES - 1):
                m.next = "skip"

    @staticmethod
    def facts(config: ArrayConfig, window: Window, *, loadable: bool = False) -> Facts:
        """A request, the memory of responses, and the bytes of a word that has not come completely."""
        size, frame = word_bytes(config.word_bits), word_bytes(config.frame_bits)
        load = word_bytes(config.load_bits) if loadable else 0
        return Facts(
            registers={
                "request": 8 + 3 * 8 * SEQUENCE_BYTES + 1 + index_bits(len(Register)),
                "response": 3 * index_bits(window.packet_bytes) + Shape.cast(Status).width + 8,
                "control": 12 + 5,  # flags; up to 32 states
                "read": 8,
                "value": 8 * REGISTER_BYTES,
                "waited": index_bits(PATIENCE),
                "digit": index_bits(max(size, frame, load, REGISTER_BYTES)),
                "word": 8 * max(1, frame - 1, load - 1),
                "written": 1 + index_bits(window.packets * window.packet_bytes) + 8,
            },
            muxes={"word": 8 * size, "load": 8 * load},
            adders={"sequence": 8 * SEQUENCE_BYTES, "waited": index_bits(PATIENCE)},
            gates={"control": 3, "loadable": int(loadable)},  # requests, execution, answers
            memories=[MemoryShape(window.packets * window.packet_bytes, 8, apart=True)],
        )


def _code(request: Request) -> int:
    """The first byte of a request."""
    return VERSION << 4 | request
