"""An accelerator behind a link."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.driver.chunks import ChunkSize
from hwquant.errors import HwquantError
from hwquant.golden import deliver, dequantized, quantize_given, quantize_states
from hwquant.host import before
from hwquant.link import Link, Session, Statistics
from hwquant.link.protocol import MAX_PAYLOAD, Request, Status, word_bytes
from hwquant.program.layout import integers_to_words, words_to_integers
from hwquant.program.program import Program
from hwquant.program.registers import IDENTITY, VERSION, Register
from hwquant.progress import Progress
from hwquant.qgraph import IntArray, QGraph
from hwquant.states import States, are_missing

AnyArray = NDArray[Any]


@dataclass(frozen=True)
class Identity:
    """What an accelerator says of itself, in fields of its registers.

    Attributes
    ----------
    identity : int
        Constant by which an accelerator of hwquant is known.
    version : int
        Version of its registers.
    checksum : int
        Checksum of the program that it was built with.
    rows, columns : int
        Shape of its array.
    lanes : int
        Number of activations in a word of its memory.
    """

    identity: int
    version: int
    checksum: int
    rows: int
    columns: int
    lanes: int

    def check(self, program: Program, name: str) -> None:
        """Raise :class:`HwquantError`, which names the link, unless this is the hardware of a program."""
        again = "program the board with the bitstream of this build"
        if self.identity != IDENTITY:
            raise HwquantError(
                f"what answers on {name} is no hwquant accelerator (identity {self.identity:#010x}); {again}"
            )
        if self.version != VERSION:
            raise HwquantError(
                f"the accelerator on {name} has register version {self.version}, this hwquant version {VERSION}; "
                "build its bitstream again"
            )
        if self.checksum != program.checksum:
            raise HwquantError(
                f"the accelerator on {name} ({self.rows}x{self.columns}) holds program {self.checksum:#010x}, the "
                f"build ({program.config.rows}x{program.config.columns}) {program.checksum:#010x}; {again}"
            )


def connect(link: Link, qgraph: QGraph, program: Program, **options: Any) -> Connection:
    """Open a session with the board on a link.

    It is checked that the board holds this program, and weights are loaded where the board asks for them.

    Parameters
    ----------
    link : Link
        The byte stream to the board.
    qgraph : QGraph
        The network of the build that the board was programmed with.
    program : Program
        Program of that build.
    **options : Any
        Parameters of :class:`~hwquant.link.session.Session`.

    Raises
    ------
    HwquantError
        Nobody answers, or the board holds other hardware or another program.
    """
    connection = Connection(Session(link, **options), qgraph, program)
    connection.open()
    return connection


class Connection:
    """An accelerator as a function; made by :func:`connect`.

    Parameters
    ----------
    session : Session
        Session with the board.
    qgraph : QGraph
        Network that the accelerator computes.
    program : Program
        The network, compiled for the accelerator.
    patience : float, default 20.0
        Seconds that the accelerator may take for one inference.
    """

    def __init__(self, session: Session, qgraph: QGraph, program: Program, patience: float = 20.0) -> None:
        self.qgraph, self.program = qgraph, program
        self._session, self._patience = session, patience
        config = program.config
        self._word = word_bytes(config.word_bits)
        self._size = ChunkSize(MAX_PAYLOAD // self._word)
        self._weight = word_bytes(config.columns * config.slot_bits)
        self._load_size = ChunkSize(MAX_PAYLOAD // self._weight)
        self._clean = False
        self._states = States(qgraph.inputs, qgraph.outputs)

    def reset(self) -> None:
        """Begin a new sequence: the states of a network that has some become zero."""
        self._states.reset()

    def open(self) -> None:
        """Reset the accelerator, check that it is the right one, and load its weights; see :func:`connect`."""
        self._session.open()
        self.identity().check(self.program, self._session.link.name)
        self._load()
        self._clean = True

    @property
    def statistics(self) -> Statistics:
        """Requests and retries since the session was opened."""
        return self._session.statistics

    def register(self, register: Register) -> int:
        """Read a register."""
        payload = self._session.request(Request.PEEK, bytes([register])).payload
        return int.from_bytes(payload, "little")

    def identity(self) -> Identity:
        """Read what the accelerator says of itself."""
        registers = (Register.IDENTITY, Register.VERSION, Register.CHECKSUM, Register.SHAPE)
        fields: dict[str, int] = {}
        for register in registers:
            fields |= register.unpack(self.register(register))
        return Identity(**fields)

    def cycles(self) -> int:
        """Read the number of clock cycles of the latest inference."""
        return self.register(Register.CYCLES)

    def infer(self, x: Mapping[str, AnyArray] | AnyArray, progress: Progress | None = None) -> list[AnyArray]:
        """Compute the whole network's outputs for the user's arrays, as :func:`hwquant.golden.predict` does.

        Parameters
        ----------
        x : ndarray or mapping of str to ndarray
            Samples of any real dtype, shape (N, *shape); by input name where there are several inputs. States are left
            out: they go on from the call before.
        progress : Progress or None, optional
            Told the number of finished samples.

        Returns
        -------
        list of ndarray
            For each output float64, shape (N, *shape), or int64, shape (N, *shape[1:]), where it is an arg max.

        Raises
        ------
        HwquantError
            The samples do not fit the network, as for :func:`hwquant.golden.quantize_input`, or the run fails, as
            for :meth:`run`.
        """
        inner = before(self.qgraph, x)
        return deliver(self.qgraph, inner, self.run(quantize_given(self.qgraph, inner), progress))

    def run(self, q: Mapping[str, IntArray], progress: Progress | None = None) -> dict[str, IntArray]:
        """Run the network on integers.

        Parameters
        ----------
        q : mapping of str to ndarray
            Integers by input name, shape (N, C, H, W). States that are left out take what the call before gave.
        progress : Progress or None, optional
            Told the number of finished samples.

        Returns
        -------
        dict of str to ndarray
            Integers by output tensor, int64, shape (N, C, H, W).

        Raises
        ------
        HwquantError
            The link fails, or the accelerator stops. No wrong result is ever returned, and the next call begins with
            :meth:`open`.
        """
        if not self._clean:
            self.open()
        self._clean = False  # until the last result is here: a frame may be half written or half read
        config = self.program.config
        carried = are_missing(self.qgraph.inputs, q)
        frames = None if carried else self.program.frame(q)
        samples = len(next(iter(q.values())))
        total = samples if frames is None else len(frames)
        _, count = self.program.frame_words
        results = np.empty((total, count, config.lanes), np.int64)
        for index in range(total):
            frame = frames[index] if frames is not None else self._next_frame(q, index)
            self._write(words_to_integers(frame, config.activation_bits))
            results[index] = integers_to_words(self._read(count), config.lanes, config.activation_bits)
            if carried:
                self._states.take(dequantized(self.qgraph, self.program.results(results[index : index + 1])))
            if progress:
                progress("run on the board", min((index + 1) * self.program.batch, samples), samples)
        self._clean = True
        return {name: values[:samples] for name, values in self.program.results(results).items()}

    def _next_frame(self, q: Mapping[str, IntArray], index: int) -> IntArray:
        """The words of one sample, its states those that the call before left."""
        states = quantize_states(self.qgraph, self._states.values)
        one = {name: array[index : index + 1] for name, array in q.items()}
        return np.asarray(self.program.frame({**one, **states})[0])

    def _load(self) -> None:
        """Send the weights where they are not in the bitstream, as every session begins without them."""
        wanted, words = self.register(Register.LOAD), self.program.weight_image
        if not wanted:
            return
        sent = 0
        while sent < len(words):
            chunk = words[sent : sent + self._load_size.words]
            payload = b"".join(word.to_bytes(self._weight, "little") for word in chunk)
            self._request(Request.LOAD, payload, self._load_size)
            sent += len(chunk)
        if wanted != len(words) or self.register(Register.LOAD):
            raise HwquantError(
                f"the accelerator on {self._session.link.name} wants {wanted} words of weights, the build has "
                f"{len(words)}; program the board with the bitstream of this build"
            )

    def _write(self, words: list[int]) -> None:
        sent, deadline = 0, time.monotonic() + self._patience
        while sent < len(words):
            chunk = words[sent : sent + self._size.words]
            request = Request.LAST if sent + len(chunk) == len(words) else Request.WRITE
            payload = b"".join(word.to_bytes(self._word, "little") for word in chunk)
            if self._request(request, payload, self._size).status == Status.OK:
                sent, deadline = sent + len(chunk), time.monotonic() + self._patience
            elif time.monotonic() > deadline:
                raise self._stuck("takes no input")

    def _read(self, count: int) -> list[int]:
        words: list[int] = []
        deadline = time.monotonic() + self._patience
        while len(words) < count:
            wanted = min(self._size.words, count - len(words))
            payload = self._request(Request.READ, bytes([wanted]), self._size).payload
            words += [
                int.from_bytes(payload[start : start + self._word], "little")
                for start in range(0, len(payload), self._word)
            ]
            if payload:
                deadline = time.monotonic() + self._patience
            elif time.monotonic() > deadline:
                raise self._stuck("gives no result")
        return words

    def _request(self, request: Request, payload: bytes, size: ChunkSize) -> Any:
        before = self.statistics.retries
        response = self._session.request(request, payload)
        size.learn(self.statistics.retries - before)
        return response

    def _stuck(self, what: str) -> HwquantError:
        return HwquantError(
            f"the accelerator on {self._session.link.name} {what} for {self._patience:g} s (status register "
            f"{self.register(Register.STATUS):#x}); connect again"
        )
