"""Requests that are repeated until they are answered, a window of them at a time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator

from hwquant.errors import HwquantError
from hwquant.link.flight import Call, Flight, ForeignSession, Response, Statistics
from hwquant.link.protocol import (
    HEADER_BYTES,
    NONCE_BYTES,
    SEQUENCES,
    VERSION,
    Decoder,
    Request,
    Status,
    Window,
)
from hwquant.link.transport import Link

OPENING = Window(2, 32)
"""The window of OPEN, before the board has said its own: every board has it."""
LONGER = 1.5
"""How much longer each further silence is waited for."""


class NotReady(HwquantError):
    """The accelerator did not take, or give, what it was asked to, for as long as the session has patience."""


class Session:
    """The host's end of the protocol; see :mod:`hwquant.link.protocol`.

    Parameters
    ----------
    link : Link
        The byte stream; nothing is sent before :meth:`open`.
    timeout : float, default 0.3
        Seconds of silence after which a request is sent again: more than a window of the largest packets takes there
        and back. Each further silence waits half as long again, so that too short a time costs time but
        nothing else.
    silences : int, default 8
        Time-outs in a row after which the board counts as absent.
    tries : int, default 100
        How often a request is sent before the link counts as unusable.
    patience : float, default 20.0
        Seconds that the accelerator may let a request wait.
    clock : callable, default time.monotonic
        The time in s, without arguments.

    Attributes
    ----------
    statistics : Statistics
        What happened so far.
    window : Window
        How much may be on its way, as the board said at the beginning of the session.
    patience : float
        As above.
    """

    def __init__(
        self,
        link: Link,
        timeout: float = 0.3,
        silences: int = 8,
        tries: int = 100,
        patience: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.link = link
        self.statistics = Statistics()
        self.window = OPENING
        self.patience = patience
        self._timeout, self._silences, self._tries = timeout, silences, tries
        self._clock = clock
        self._decoder = Decoder()
        self._flight = Flight(1, 0, self.statistics)

    def open(self) -> None:
        """Begin a session, and end any other: the accelerator is reset.

        Raises
        ------
        HwquantError
            Nobody answers, or nobody who speaks this protocol.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        self._flight = Flight(1, secrets.randbelow(SEQUENCES), self.statistics)
        self._flight.add(Call(Request.OPEN, nonce))

        def concerns(response: Response) -> bool:
            """Not what the board still has to say of an earlier session."""
            return response.status == Status.DAMAGED or response.payload[:NONCE_BYTES] == nonce

        (response,) = self._wait([], concerns)
        self.window = Window.decode(response.payload[NONCE_BYTES:])
        self._flight = Flight(self.window.packets, self._flight.next_sequence, self.statistics)

    def request(self, request: Request, payload: bytes = b"") -> Response:
        """Send one request, and wait for its answer; see :meth:`stream`."""
        (response,) = self.stream([Call(request, payload)])
        return response

    def stream(self, calls: Iterable[Call]) -> Iterator[Response]:
        """Send requests, a window of them at a time, until all are answered.

        The board executes each once, however often it is sent, and in order. A stream that is not read to its end is
        the session's last.

        Parameters
        ----------
        calls : iterable of Call
            What is asked for; taken one by one, as the window has room.

        Yields
        ------
        Response
            The answers, in order; their status is OK.

        Raises
        ------
        NotReady
            The accelerator lets a request wait for too long. It was not executed; those before it were.
        HwquantError
            The board fell silent, was reset meanwhile, or does not know a request; the link failed.
        """
        if len(self._flight):  # nobody knows what of that was executed
            raise HwquantError(f"the session on {self.link.name} was interrupted; connect again")
        return self._wait(calls, lambda response: True)

    def abandon(self) -> None:
        """Leave out the requests that the accelerator was not ready for, so that others can be sent."""
        self._flight = Flight(self.window.packets, self._flight.first_sequence, self.statistics)

    def _wait(self, calls: Iterable[Call], concerns: Callable[[Response], bool]) -> Iterator[Response]:
        """Add calls to the flight, and give the responses, until it is empty."""
        source, flight, statistics = iter(calls), self._flight, self.statistics
        more, silences, requests, busy, since = True, 0, -1, 0, 0.0
        while True:
            while more and flight.open:
                call = next(source, None)
                more = call is not None
                if call is not None:
                    flight.add(self._checked(call))
            if not len(flight):
                return
            if statistics.requests > requests:
                requests, busy, since = statistics.requests, statistics.busy, self._clock()
            elif statistics.busy > busy and self._clock() - since > self.patience:
                raise NotReady(f"the accelerator on {self.link.name} is not ready")
            if packets := flight.due():
                self._check_tries(*flight.oldest)
                self.link.write(packets)
            if self._listen(self._timeout * LONGER**silences, concerns):
                silences = 0
            else:
                statistics.timeouts += 1
                silences += 1
                self._check_silence(silences)
                flight.lost()
            for call, response in flight.done():
                if response.status == Status.UNKNOWN:
                    raise HwquantError(
                        f"the board on {self.link.name} does not know the request {call.request.name}; "
                        "build its bitstream again"
                    )
                yield response

    def _listen(self, timeout: float, concerns: Callable[[Response], bool]) -> bool:
        """Wait for something to act on, for at most ``timeout`` seconds; tells whether there was something."""
        deadline = self._clock() + timeout
        while (left := deadline - self._clock()) > 0:
            heard = False
            for body in self._decoder.feed(self.link.read(left)):
                if body is None:
                    self._flight.lost()
                    heard = True
                elif concerns(response := self._parsed(body)):
                    heard |= self._heard(response)
            if heard:
                return True
        return False

    def _heard(self, response: Response) -> bool:
        try:
            return self._flight.hear(response)
        except ForeignSession:
            raise HwquantError(
                f"the board on {self.link.name} lost the session: it was reset, or another host talks to it; "
                "connect again"
            ) from None

    def _parsed(self, body: bytes) -> Response:
        version, status = body[0] >> 4, body[0] & 15
        if version != VERSION or status not in set(Status):
            raise HwquantError(
                f"the board on {self.link.name} speaks version {version} of the link's protocol (status {status}), "
                f"this hwquant version {VERSION}; build its bitstream again"
            )
        sequence = int.from_bytes(body[1:HEADER_BYTES], "little")
        return Response(Status(status), sequence, body[HEADER_BYTES:])

    def _checked(self, call: Call) -> Call:
        if len(call.payload) > self.window.payload:
            raise HwquantError(
                f"a request carries at most {self.window.payload} bytes, not {len(call.payload)}"
            )
        return call

    def _check_tries(self, oldest: Call, sent: int) -> None:
        if sent > self._tries:
            raise HwquantError(
                f"the link {self.link.name} is too noisy: {oldest.request.name} failed {self._tries} times; "
                "check cable and baud rate"
            )

    def _check_silence(self, silences: int) -> None:
        if silences == self._silences:
            request = self._flight.oldest[0].request
            raise HwquantError(
                f"no answer from the board on {self.link.name} to {request.name}, {silences} times in a row; "
                "check that it is programmed, the cable, and the baud rate"
            )
