"""Requests that are repeated until they are answered."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hwquant.errors import HwquantError
from hwquant.link.protocol import (
    HEADER_BYTES,
    MAX_PAYLOAD,
    NONCE_BYTES,
    SEQUENCES,
    VERSION,
    Decoder,
    Request,
    Status,
    encode,
)
from hwquant.link.transport import Link


@dataclass
class Statistics:
    """What happened on a link.

    Attributes
    ----------
    requests : int
        Number of requests that were answered.
    retries : int
        Number of repetitions of requests: after a time-out, or because either end saw a damaged packet.
    timeouts : int
        Number of repetitions after a time-out.
    """

    requests: int = 0
    retries: int = 0
    timeouts: int = 0


@dataclass(frozen=True)
class Response:
    """What the board answered.

    Attributes
    ----------
    status : Status
        Whether the request was executed, and if not, why.
    sequence : int
        Sequence number of the request that it answers, 0 to 255.
    payload : bytes
        Data that it returns.
    """

    status: Status
    sequence: int
    payload: bytes


class Session:
    """The host's end of the protocol; see :mod:`hwquant.link.protocol`.

    Parameters
    ----------
    link : Link
        The byte stream; nothing is sent before :meth:`open`.
    timeout : float, default 0.3
        Seconds of silence after which a request is sent again: more than the largest packet takes there
        and back. Each further silence waits half as long again, so that too short a time costs time but
        nothing else.
    silences : int, default 8
        Time-outs in a row after which the board counts as absent.
    tries : int, default 100
        How often a request is sent before the link counts as unusable.
    """

    def __init__(self, link: Link, timeout: float = 0.3, silences: int = 8, tries: int = 100) -> None:
        self.link = link
        self.statistics = Statistics()
        self._timeout, self._silences, self._tries = timeout, silences, tries
        self._decoder = Decoder()
        self._sequence = 0

    def open(self) -> None:
        """Begin a session, and end any other: the accelerator is reset.

        Raises
        ------
        HwquantError
            Nobody answers, or nobody who speaks this protocol.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        response = self._exchange(Request.OPEN, nonce, lambda response: response.payload == nonce)
        if response.status != Status.OK:
            raise HwquantError(f"the board on {self.link.name} refused the session ({response.status.name})")

    def request(self, request: Request, payload: bytes = b"") -> Response:
        """Send a request until it is answered; the board executes it once, however often it is sent.

        Parameters
        ----------
        request : Request
            What is asked for.
        payload : bytes, default b""
            Data of the request, at most MAX_PAYLOAD bytes.

        Returns
        -------
        Response
            The answer; its status is OK or BUSY.

        Raises
        ------
        HwquantError
            The board fell silent, was reset meanwhile, or does not know the request; the link failed.
        """
        if len(payload) > MAX_PAYLOAD:
            raise HwquantError(f"a request carries at most {MAX_PAYLOAD} bytes, not {len(payload)}")
        self._sequence = (self._sequence + 1) % SEQUENCES
        response = self._exchange(request, payload, lambda response: response.sequence == self._sequence)
        if response.status in (Status.SEQUENCE, Status.CLOSED):
            raise HwquantError(
                f"the board on {self.link.name} lost the session: it was reset, or another host talks to it; "
                "connect again"
            )
        if response.status == Status.UNKNOWN:
            raise HwquantError(
                f"the board on {self.link.name} does not know the request {request.name}; "
                "build its bitstream again"
            )
        return response

    def _exchange(self, request: Request, payload: bytes, wanted: Callable[[Response], bool]) -> Response:
        """Send a request until a wanted response arrives."""
        packet = encode(bytes([VERSION << 4 | request, self._sequence]) + payload)
        silences, timeout = 0, self._timeout
        for attempt in range(self._tries):
            self.statistics.retries += attempt > 0
            self.link.write(packet)
            damaged = False
            for response in self._responses(timeout):
                if response is None or response.status == Status.DAMAGED:
                    damaged = True
                    break
                if wanted(response) or (
                    request != Request.OPEN and response.status in (Status.SEQUENCE, Status.CLOSED)
                ):
                    self.statistics.requests += 1
                    return response
            if damaged:
                silences, timeout = 0, self._timeout
                continue
            self.statistics.timeouts += 1
            silences, timeout = silences + 1, timeout * 1.5
            if silences == self._silences:
                break
        else:
            raise HwquantError(
                f"the link {self.link.name} is too noisy: {request.name} failed {self._tries} times; "
                "check cable and baud rate"
            )
        raise HwquantError(
            f"no answer from the board on {self.link.name} to {request.name}, {silences} times in a row; "
            "check that it is programmed, the cable, and the baud rate"
        )

    def _responses(self, timeout: float) -> Iterator[Response | None]:
        """Responses that arrive within ``timeout`` seconds from now; None for damaged packets."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            for body in self._decoder.feed(self.link.read(left)):
                yield None if body is None else self._parse(body)

    def _parse(self, body: bytes) -> Response:
        version, status = body[0] >> 4, body[0] & 15
        if version != VERSION or status not in set(Status):
            raise HwquantError(
                f"the board on {self.link.name} speaks version {version} of the link's protocol (status {status}), "
                f"this hwquant version {VERSION}; build its bitstream again"
            )
        return Response(Status(status), body[1], body[HEADER_BYTES:])
