"""An accelerator behind a link."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.driver.chunks import ChunkSize
from hwquant.errors import HwquantError, MemoryFault
from hwquant.golden import deliver, dequantized, quantize_given, quantize_states
from hwquant.host import before
from hwquant.link import Link, Session, Statistics
from hwquant.link.flight import Call
from hwquant.link.protocol import Request, word_bytes
from hwquant.link.session import NotReady
from hwquant.program.layout import integers_to_words, words_to_integers
from hwquant.program.program import Program
from hwquant.program.registers import IDENTITY, VERSION, MemoryRegister, Register, RegisterTable
from hwquant.program.sides import array_name, short_array
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
    others : int, default 0
        Arrays beside the first, which share its weights.
    """

    identity: int
    version: int
    checksum: int
    rows: int
    columns: int
    lanes: int
    others: int = 0

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
        array = array_name(short_array(1 + self.others, self.rows, self.columns))
        if self.checksum != program.checksum:
            raise HwquantError(
                f"the accelerator on {name} ({array}) holds program {self.checksum:#010x}, the "
                f"build ({array_name(program.config.array)}) {program.checksum:#010x}; {again}"
            )


def connect(
    link: Link, qgraph: QGraph, program: Program, progress: Progress | None = None, **options: Any
) -> Connection:
    """Open a session with the board on a link.

    It is checked that the board holds this program, and weights, or what external memory has, are loaded where the
    board asks for them.

    Parameters
    ----------
    link : Link
        The byte stream to the board.
    qgraph : QGraph
        The network of the build that the board was programmed with.
    program : Program
        Program of that build.
    progress : Progress or None, optional
        Told the number of words that are loaded.
    **options : Any
        Parameters of :class:`~hwquant.link.session.Session`.

    Raises
    ------
    HwquantError
        Nobody answers, or the board holds other hardware or another program.
    """
    connection = Connection(Session(link, **options), qgraph, program)
    connection.open(progress)
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
    """

    def __init__(self, session: Session, qgraph: QGraph, program: Program) -> None:
        self.qgraph, self.program = qgraph, program
        self._session = session
        config = program.config
        self._word, self._beat = word_bytes(config.word_bits), word_bytes(config.frame_bits)
        self._outside = config.external_bits > 0
        self._weight = word_bytes(config.load_bits)
        # How many words or beats of each kind go into a packet, which the session's window bounds.
        self._size, self._frame_size, self._load_size = ChunkSize(1), ChunkSize(1), ChunkSize(1)
        self._losses = 0
        self._clean = False
        self._states = States(qgraph.inputs, qgraph.outputs)

    def reset(self) -> None:
        """Begin a new sequence: the states of a network that has some become zero."""
        self._states.reset()

    def open(self, progress: Progress | None = None) -> None:
        """Reset the accelerator, check that it is the right one, and load its weights; see :func:`connect`."""
        self._session.open()
        self._losses = self.statistics.losses
        window = self._session.window
        self._size = ChunkSize(window.words(self._word))
        self._frame_size = ChunkSize(window.words(self._beat))
        self._load_size = ChunkSize(window.words(self._weight))
        self.identity().check(self.program, self._session.link.name)
        self._load(progress)
        self._clean = True

    @property
    def statistics(self) -> Statistics:
        """Requests and retries since the session was opened."""
        return self._session.statistics

    def register(self, register: RegisterTable) -> int:
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

    def stalled(self) -> int | None:
        """Read in how many of these cycles instructions waited for external memory; None where there is none."""
        return self.register(MemoryRegister.STALLED) if self._outside else None

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
        MemoryFault
            External memory has answered with an error.
        HwquantError
            The link fails, or the accelerator stops. No wrong result is ever returned, and the next call begins with
            :meth:`open`.
        """
        if not self._clean:
            self.open(progress)
        self._clean = False  # until the last result is here: a frame may be half written or half read
        samples = len(next(iter(q.values())))
        total = -(-samples // self.program.batch)
        results = np.empty((total, self.program.frame_words[1], self.program.config.lanes), np.int64)
        if are_missing(self.qgraph.inputs, q):  # each frame has what the one before has left
            for index in range(total):
                frame = self._next_frame(q, index)
                (results[index],) = self._inferences(iter([frame]))
                self._states.take(dequantized(self.qgraph, self.program.results(results[index : index + 1])))
                self._tell(progress, index + 1, samples)
        else:
            for index, result in enumerate(self._inferences(iter(self.program.frame(q)))):
                results[index] = result
                self._tell(progress, index + 1, samples)
        self._clean = True
        return {name: values[:samples] for name, values in self.program.results(results).items()}

    def _tell(self, progress: Progress | None, frames: int, samples: int) -> None:
        if progress:
            progress("run on the board", min(frames * self.program.batch, samples), samples)

    def _next_frame(self, q: Mapping[str, IntArray], index: int) -> IntArray:
        """The beats of one sample, its states those that the call before left."""
        states = quantize_states(self.qgraph, self._states.values)
        one = {name: array[index : index + 1] for name, array in q.items()}
        return np.asarray(self.program.frame({**one, **states})[0])

    def _load(self, progress: Progress | None) -> None:
        """Send the words that the board wants: weights, or all that external memory has; it may have them already."""
        wanted, program = self.register(Register.LOAD), self.program
        if not wanted:
            return
        if self._outside:
            what = "external memory"
            words = [int.from_bytes(beat.tobytes(), "little") for beat in program.external_image]
        else:
            what, words = "weights", program.weight_image
        sent = 0
        for count in self._loaded(words):
            sent += count
            if progress:
                progress(f"load the {what}", sent, len(words))
        if wanted != len(words) or self.register(Register.LOAD):
            raise HwquantError(
                f"the accelerator on {self._session.link.name} wants {wanted} words of {what}, the build has "
                f"{len(words)}; program the board with the bitstream of this build"
            )

    def _loaded(self, words: list[int]) -> Iterator[int]:
        """Send words to load; gives how many the board has taken, request by request."""
        counts = deque[int]()

        def calls() -> Iterator[Call]:
            for call in self._chunks(words, self._weight, self._load_size, (Request.LOAD, Request.LOAD)):
                counts.append(len(call.payload) // self._weight)
                yield call

        for _ in self._answers(calls()):
            self._learn(self._load_size)
            yield counts.popleft()

    def _inferences(self, frames: Iterator[IntArray]) -> Iterator[IntArray]:
        """Run frames, each the beats of its inputs; gives the words of their results."""
        config, (_, count) = self.program.config, self.program.frame_words

        def calls() -> Iterator[Call]:
            for frame in frames:
                beats = words_to_integers(frame, config.activation_bits)
                yield from self._chunks(beats, self._beat, self._frame_size, (Request.WRITE, Request.LAST))
                left = count
                while left:
                    wanted = min(self._size.words, left)
                    yield Call(Request.READ, bytes([wanted]))
                    left -= wanted
                if self._outside:
                    yield Call(Request.PEEK, bytes([MemoryRegister.MEMORY]))

        result = bytearray()
        for payload in self._answers(calls()):
            self._learn(self._size, self._frame_size)
            if len(result) < count * self._word:
                result += payload
                if len(result) < count * self._word or self._outside:
                    continue
            else:
                self._check_memory(payload)
            starts = range(0, len(result), self._word)
            words = [int.from_bytes(result[start : start + self._word], "little") for start in starts]
            yield integers_to_words(words, config.lanes, config.activation_bits)
            result.clear()

    def _check_memory(self, register: bytes) -> None:
        """Raise where the register MEMORY, read behind a frame's results, says that the memory failed."""
        if MemoryRegister.MEMORY.unpack(int.from_bytes(register, "little"))["error"]:
            raise MemoryFault(
                f"the external memory of the board on {self._session.link.name} has answered with an error, so its "
                "results are wrong; switch the board off and on, and if that does not help look for a fault in it"
            )

    def _chunks(
        self, words: list[int], size: int, chunk: ChunkSize, requests: tuple[Request, Request]
    ) -> Iterator[Call]:
        """Words or beats of so many bytes, in requests of the first kind, the last of them of the second."""
        sent = 0
        while sent < len(words):
            part = words[sent : sent + chunk.words]
            sent += len(part)
            payload = b"".join(word.to_bytes(size, "little") for word in part)
            yield Call(requests[sent == len(words)], payload)

    def _answers(self, calls: Iterator[Call]) -> Iterator[bytes]:
        """What the board returns."""
        try:
            for response in self._session.stream(calls):
                yield response.payload
        except NotReady as error:
            self._session.abandon()
            status = self.register(Register.STATUS)
            raise HwquantError(
                f"{error} for {self._session.patience:g} s (status register {status:#x}); connect again"
            ) from error

    def _learn(self, *sizes: ChunkSize) -> None:
        """Adapt the size of packets to what was lost since the last response."""
        losses = self.statistics.losses
        for size in sizes:
            size.learn(losses - self._losses)
        self._losses = losses
