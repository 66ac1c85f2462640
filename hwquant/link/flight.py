"""Requests on their way to a board: what is to be sent, and what an answer means. It knows neither link nor time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from hwquant.link.protocol import SEQUENCE_BYTES, SEQUENCES, VERSION, Request, Status, encode

STALE = 256
"""Requests whose notices may come late, out of order."""


@dataclass
class Statistics:
    """What happened on a link.

    Attributes
    ----------
    requests : int
        Number of requests that were answered.
    retries : int
        Number of repetitions of requests.
    losses : int
        How often something was found to be lost, after which requests were repeated.
    timeouts : int
        Number of losses that were found by silence.
    busy : int
        Number of answers that the accelerator was not ready, after which a request was sent again.
    """

    requests: int = 0
    retries: int = 0
    losses: int = 0
    timeouts: int = 0
    busy: int = 0


@dataclass(frozen=True)
class Call:
    """What is asked of a board.

    Attributes
    ----------
    request : Request
        What is asked for.
    payload : bytes, default b""
        Data of the request.
    """

    request: Request
    payload: bytes = b""


@dataclass(frozen=True)
class Response:
    """What the board answered.

    Attributes
    ----------
    status : Status
        Whether the request was executed, and if not, why.
    sequence : int
        Sequence number, 0 to 65,535; see :class:`~hwquant.link.protocol.Status`.
    payload : bytes
        Data that it returns.
    """

    status: Status
    sequence: int
    payload: bytes


class ForeignSession(Exception):
    """The board has executed requests of somebody else, or was reset."""


@dataclass
class _Item:
    call: Call
    packet: bytes
    on_its_way: bool = False
    sent: int = 0
    response: Response | None = None


class Flight:
    """The requests of a session that are not done: their responses, or those of earlier ones, are missing.

    Parameters
    ----------
    packets : int
        How many there may be.
    sequence : int
        Sequence number of the first.
    statistics : Statistics
        Where losses and repetitions are counted.
    """

    def __init__(self, packets: int, sequence: int, statistics: Statistics) -> None:
        self.packets, self.statistics = packets, statistics
        self._base = sequence  # sequence number of the first item
        self._items: deque[_Item] = deque()
        # How many may be on their way: one after a loss, and more again with every response.
        self._room = packets

    def __len__(self) -> int:
        return len(self._items)

    @property
    def open(self) -> bool:
        """Whether another request may be added, and sent at once."""
        waiting = sum(item.response is None for item in self._items)
        return len(self._items) < self.packets and waiting < self._room

    @property
    def first_sequence(self) -> int:
        """The sequence number of the first request."""
        return self._base

    @property
    def next_sequence(self) -> int:
        """The sequence number of the request that is added next."""
        return (self._base + len(self._items)) % SEQUENCES

    @property
    def oldest(self) -> tuple[Call, int]:
        """The first request, and how often it was sent."""
        return self._items[0].call, self._items[0].sent

    def add(self, call: Call) -> None:
        """Add a request."""
        header = bytes([VERSION << 4 | call.request]) + self.next_sequence.to_bytes(SEQUENCE_BYTES, "little")
        self._items.append(_Item(call, encode(header + call.payload)))

    def due(self) -> bytes:
        """Packets that are to be sent now, the oldest first; they count as sent."""
        waiting = [item for item in self._items if item.response is None]
        room = self._room - sum(item.on_its_way for item in waiting)
        packets = []
        for item in [item for item in waiting if not item.on_its_way][: max(0, room)]:
            self.statistics.retries += item.sent > 0
            item.on_its_way, item.sent = True, item.sent + 1
            packets.append(item.packet)
        return b"".join(packets)

    def lost(self) -> None:
        """Something was lost: go back to the oldest request, and send one at a time for now."""
        self.statistics.losses += 1
        self._go_back()

    def hear(self, response: Response) -> bool:
        """Take a response; tells whether it was one to act on.

        Raises
        ------
        ForeignSession
            It says that the board is not in this session.
        """
        place = (response.sequence - self._base) % SEQUENCES
        waiting = place < len(self._items) and self._items[place].response is None
        match response.status:
            case Status.DAMAGED:
                self.lost()
                return True
            case Status.SEQUENCE:  # its number is that of the latest request that was executed
                if (place + 1) % SEQUENCES <= len(self._items):
                    heeded = self._room > 1  # else it is known already
                    if heeded:
                        self.lost()
                    return heeded
                if place < SEQUENCES - STALE:
                    raise ForeignSession
            case Status.CLOSED:
                if waiting:
                    raise ForeignSession
            case Status.BUSY:
                if waiting:
                    self.statistics.busy += 1
                    self._items[place].sent = 0
                    self._go_back()
                return waiting
            case _:
                if waiting:
                    self._answered(place, response)
                return waiting
        return False

    def done(self) -> Iterator[tuple[Call, Response]]:
        """Take out the requests that are answered, as long as all before them are."""
        while self._items and (response := self._items[0].response) is not None:
            call = self._items.popleft().call
            self._base = (self._base + 1) % SEQUENCES
            yield call, response

    def _answered(self, place: int, response: Response) -> None:
        self._items[place].response = response
        self.statistics.requests += 1
        self._room = min(self.packets, 2 * self._room)
        earlier = list(self._items)[:place]
        if any(item.on_its_way and item.response is None for item in earlier):
            self.lost()  # it was executed before this one, and has been answered

    def _go_back(self) -> None:
        self._room = 1
        for item in self._items:
            item.on_its_way = False
