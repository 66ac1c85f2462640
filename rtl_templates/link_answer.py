"""What the executor of requests remembers, and the states in which it keeps a response and sends it."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, ShapeLike, Signal, Value, ValueLike
from amaranth.lib.memory import ReadPort, WritePort

from hwquant.link.protocol import PREFIX_BYTES, REGISTER_BYTES, SEQUENCE_BYTES, VERSION, Status, Window
from hwquant.program.registers import REGISTER_BITS


class ExecutorState:
    """What the executor remembers from state to state.

    Parameters
    ----------
    received : int
        Bytes of a word that the accelerator gives.
    sent : int
        Bytes of the longest word or beat that it gets.
    address : ShapeLike
        Shape of a register's address.
    window : Window
        Size of the buffers.
    patience : int
        Cycles that a request waits.
    """

    def __init__(self, received: int, sent: int, address: ShapeLike, window: Window, patience: int):
        numbers = 8 * SEQUENCE_BYTES
        self.opcode = Signal(8, reset_less=True)
        self.current = Signal(numbers, reset_less=True)  # number of the request that is here
        self.latest = Signal(numbers)  # number of the latest request that was executed
        self.executed = Signal()  # in the cycle before: it becomes the latest, which is compared long after
        self.origin = Signal(numbers, reset_less=True)  # number of the request that opened the session
        self.ended = Signal(reset_less=True)  # the request's last byte was taken
        # What the number says: the expected one, one of those that are kept, the number of an OPEN that comes late.
        self.following, self.answered, self.late = (
            Signal(name=name, reset_less=True) for name in ("following", "answered", "late")
        )
        # What the response is made of. A notice is one that is not kept.
        self.opened = Signal()
        self.status = Signal(Status, reset_less=True)
        self.end = Signal(range(window.packet_bytes))  # of the response that is made, in its buffer
        self.length = Signal(range(window.packet_bytes), reset_less=True)  # of the one that is sent
        self.notice = Signal()
        self.silent = Signal()
        self.rejected = Signal()  # the host knows which number is expected
        self.damaged = Signal()
        # Words.
        self.digit = Signal(range(max(received, sent, REGISTER_BYTES)))  # byte of a word or register
        self.left = Signal(8, reset_less=True)  # words to read
        self.part = Signal()  # of a read is in the buffer
        self.room = Signal(reset_less=True)  # for another word behind the response's end
        self.low = Signal(8 * max(1, sent - 1), reset_less=True)  # all bytes of a word but the last
        self.register = Signal(address, reset_less=True)
        self.value = Signal(REGISTER_BITS, reset_less=True)  # of a register, what is not in the response yet
        self.waited = Signal(range(patience), reset_less=True)
        # The kept response. Block RAM answers late in a cycle: a byte takes two, one of them in a register of its own.
        self.index = Signal(range(window.packet_bytes))
        self.kept = Signal(8, reset_less=True)
        self.fetched, self.moved = Signal(), Signal()


def append(m: Module, state: ExecutorState, write: WritePort, byte: ValueLike) -> None:
    """Append a byte to the response."""
    m.d.comb += [write.en.eq(1), write.data.eq(byte)]
    m.d.sync += state.end.eq(state.end + 1)


def add_keeping(m: Module, state: ExecutorState, write: WritePort, read: ReadPort, buffer: ValueLike) -> None:
    """Add the states that write what comes before a kept payload, and those that read it again."""
    places = [Cat(Const(place, len(state.end)), buffer) for place in range(PREFIX_BYTES)]
    with m.State("length"):
        m.d.comb += [write.en.eq(1), write.addr.eq(places[0]), write.data.eq(state.end)]
        m.d.sync += state.length.eq(state.end)
        m.next = "stamp"
    with m.State("stamp"):
        m.d.comb += [write.en.eq(1), write.addr.eq(places[1]), write.data.eq(state.status)]
        m.next = "status"
    with m.State("fetch"):
        m.d.comb += [read.en.eq(1), read.addr.eq(places[0])]
        m.next = "fetch length"
    with m.State("fetch length"):
        m.d.comb += [read.en.eq(1), read.addr.eq(places[1])]
        m.next = "keep length"
    with m.State("keep length"):
        m.d.comb += read.en.eq(1)  # for the register behind it
        m.d.sync += state.length.eq(state.kept)
        m.next = "keep status"
    with m.State("keep status"):
        m.d.sync += state.status.eq(state.kept)
        m.next = "status"


def add_answer(m: Module, state: ExecutorState, read: ReadPort, responses: Any) -> None:
    """Add the states of the response: its first bytes, then those that were kept."""
    first = Cat(Value.cast(state.status), Const(0, 4))[:4]
    for name, byte, following in (
        ("status", Cat(first, Const(VERSION, 4)), "low number"),
        ("low number", state.current[:8], "high number"),
        ("high number", state.current[8:], "payload"),
    ):
        with m.State(name):
            m.d.comb += [responses.valid.eq(1), responses.payload.data.eq(byte)]
            m.d.sync += state.index.eq(PREFIX_BYTES)
            if following == "payload":
                m.d.comb += read.en.eq(1)
                m.d.comb += responses.payload.last.eq(state.notice | (state.length == PREFIX_BYTES))
            with m.If(responses.ready):
                m.next = following
                with m.If(responses.payload.last):
                    m.next = "idle"
    with m.State("payload"):
        m.d.comb += [
            read.en.eq(1),
            responses.valid.eq(state.fetched),
            responses.payload.data.eq(state.kept),
            responses.payload.last.eq(state.index == (state.length - 1)[: len(state.index)]),
        ]
        m.d.sync += state.fetched.eq(~state.moved)
        with m.If(state.moved):
            m.d.sync += state.index.eq(state.index + 1)
            with m.If(responses.payload.last):
                m.next = "idle"
