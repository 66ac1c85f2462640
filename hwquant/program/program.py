"""The compiled network: memory images, and all that a host or a testbench must know about them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.graph import Shape
from hwquant.program.batch import all_together, apart
from hwquant.program.config import ArrayConfig
from hwquant.program.external import ExternalMemory, MemoryTiming, whole_bursts
from hwquant.program.isa import Instruction, disassemble, program_bits
from hwquant.program.layers import Destination
from hwquant.program.layout import Placement, words_to_integers
from hwquant.program.raw_inputs import to_beats
from hwquant.qgraph import IntArray


@dataclass(frozen=True)
class LayerInfo:
    """The numbers of one layer on the array.

    Attributes
    ----------
    name : str
        Name of the layer, and of the tensor that it produces where there is no ``into``.
    covers : tuple of str
        Names of the integer network's nodes that the layer executes.
    macs : int
        Multiply-accumulates of the network, without the padding of channels.
    useful_macs : int
        Multiply-accumulates whose results are read: a pool behind a convolution may leave pixels at the edge out.
    tiles : int
        Tiles that a dense network would execute for each pixel block.
    tiles_skipped : int
        Tiles among them that are zero and cost nothing.
    jobs : int
        Tiles that are executed, over all pixel blocks.
    ideal_cycles : int
        Sum of the executed tiles' pixels, or of their load cycles where those are more.
    weight_words : int
        Words of the weight memory that the layer takes.
    rows_per_word : int
        Rows of a tile that share a word of the weight memory; the fewest, where terms differ.
    rows_per_cycle : int
        Rows of a tile that are loaded in a cycle; the fewest, where terms differ.
    into : Destination, optional
        Where the outputs go; None where they are a tensor of the layer's name.
    rows : int, optional
        Rows of the output that each of several arrays computes; None where one array computes all of them.
    """

    name: str
    covers: tuple[str, ...]
    macs: int
    useful_macs: int
    tiles: int
    tiles_skipped: int
    jobs: int
    ideal_cycles: int
    weight_words: int
    rows_per_word: int
    rows_per_cycle: int
    into: Destination | None = None
    rows: int | None = None

    @property
    def tensor(self) -> str:
        """Name of the tensor that the layer writes, or a part of it."""
        return self.into.tensor if self.into else self.name

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as files hold them: those that may be None only where they are not."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Part:
    """What of a tensor a piece in the activation memory has: its channels and rows from the first ones here on.

    Attributes
    ----------
    tensor : str
        Name of the tensor.
    channel, row : int
        Numbers of the piece's first channel and row.
    """

    tensor: str
    channel: int
    row: int

    def of(self, values: IntArray, shape: Shape) -> IntArray:
        """Cut the piece, of a shape, out of the tensor (N, C, H, W)."""
        channels, rows, _ = shape
        return values[:, self.channel : self.channel + channels, self.row : self.row + rows]


@dataclass(frozen=True, eq=False)
class Program:
    """All that the hardware needs, and all that is needed to predict it.

    Attributes
    ----------
    name : str
        Name of the network.
    config : ArrayConfig
        The hardware that executes the program.
    words : tuple of int
        Words of the program memory: the instructions.
    weights : ndarray of int16 or int32, shape (words, columns)
        Words of the weight memory in order of use: a column's slot as a signed integer, in which several rows may be
        packed (:mod:`hwquant.program.weight_format`).
    bias, shift, multiplier : ndarray of int64, shape (channels,)
        Parts of the parameter memory's words, in order of use.
    layers : tuple of LayerInfo
        The layers in order of execution.
    inputs, outputs : tuple of Placement
        Tensors as the host sends and receives them, in order.
    tensors : mapping of Placement
        Every tensor that is written to the activation memory and not packed, by name.
    tables : ndarray of int64, shape (pages, 2^bits), default empty
        The table memories' words, by page and address.
    batch : int, default 1
        Samples of an inference: pixels of each tensor, which then has no others.
    parts : mapping of Part, default empty
        What those of ``tensors`` are that are pieces of a tensor of the network, by name.
    memory : ExternalMemory, optional
        The memory outside that it was compiled for; None where there is none.

    Raises
    ------
    HwquantError
        The hardware's port is none to ``memory``.
    """

    name: str
    config: ArrayConfig
    words: tuple[int, ...]
    weights: NDArray[np.int16 | np.int32]
    bias: IntArray
    shift: IntArray
    multiplier: IntArray
    layers: tuple[LayerInfo, ...]
    inputs: tuple[Placement, ...]
    outputs: tuple[Placement, ...]
    tensors: Mapping[str, Placement]
    tables: IntArray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    batch: int = 1
    parts: Mapping[str, Part] = field(default_factory=dict)
    memory: ExternalMemory | None = None

    def __post_init__(self) -> None:
        bits = self.memory.data_bits if self.memory else 0
        if bits != self.config.external_bits:
            raise HwquantError(
                f"the hardware's port to external memory has {self.config.external_bits} bits, not {bits}"
            )

    @property
    def memory_timing(self) -> MemoryTiming:
        """When the memory outside serves bursts at the latest; without one, of no account."""
        return self.memory.timing if self.memory else MemoryTiming()

    @cached_property
    def instructions(self) -> tuple[Instruction, ...]:
        """The program, disassembled."""
        return tuple(disassemble(list(self.words), self.config))

    @cached_property
    def weight_image(self) -> list[int]:
        """The weight memory: one unsigned integer a word, column 0 in the low bits."""
        return words_to_integers(self.weights.astype(np.int64), self.config.slot_bits)

    @cached_property
    def parameter_image(self) -> list[int]:
        """The parameter memory: bias in the low bits, then shift less the least one, then multiplier."""
        config, image = self.config, []
        for bias, shift, multiplier in zip(self.bias.tolist(), self.shift.tolist(), self.multiplier.tolist()):
            word = (bias >> config.bias_zeros) & ((1 << config.stored_bias_bits) - 1)
            word |= (shift - config.least_shift) << config.stored_bias_bits
            word |= (multiplier & ((1 << config.multiplier_bits) - 1)) << (
                config.stored_bias_bits + config.shift_bits
            )
            image.append(word)
        return image

    @cached_property
    def external_image(self) -> NDArray[np.uint8]:
        """External memory: weights, then parameters, uint8 [beats, bytes]; else empty.

        Where the program lies there, it comes before them, at least a half of the program memory. All begin at whole
        bursts.
        """
        config = self.config
        if not config.external_bits:
            return np.zeros((0, 0), np.uint8)
        slots = self.weights.astype("<i4").view(np.uint8).reshape(*self.weights.shape, 4)
        bits = np.unpackbits(slots, axis=2, count=config.slot_bits, bitorder="little")
        weights = _beats(bits.reshape(len(bits), -1), config.external_bits)
        parameters = _word_beats(self.parameter_image, config.parameter_bits, config.external_bits)
        if not config.program_half:
            return np.concatenate([_whole_bursts(weights), parameters])
        words = [*self.words, *([0] * (config.program_half - len(self.words)))]
        program = _word_beats(words, program_bits(config), config.external_bits)
        return np.concatenate([_whole_bursts(program), _whole_bursts(weights), parameters])

    @cached_property
    def table_image(self) -> list[int]:
        """A table memory: one unsigned integer a word, page after page."""
        return (self.tables.ravel() & ((1 << self.config.activation_bits) - 1)).tolist()

    @cached_property
    def checksum(self) -> int:
        """32 bits over configuration and images: a driver compares them with the hardware's register."""
        digest = hashlib.sha256(repr(self.config.key).encode())
        tables = [self.table_image] if self.table_image else []
        for image in (self.words, self.weight_image, self.parameter_image, *tables):
            digest.update(repr(tuple(image)).encode())
        return int.from_bytes(digest.digest()[:4], "big")

    @property
    def frame_words(self) -> tuple[int, int]:
        """Beats of an input frame, words where inputs are not raw, and words of an output frame."""
        raw, words = self.config.raw_inputs, sum(item.words for item in self.inputs)
        beats = sum(item.beats(self.config.frame_values) for item in raw) if raw else words
        return beats, sum(item.words for item in self.outputs)

    @property
    def frame_sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Beats of an input frame and words of an output frame, each with the bits of one."""
        beats, words = self.frame_words
        return (beats, self.config.frame_bits), (words, self.config.word_bits)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference of the program, without padding of channels."""
        return sum(layer.macs for layer in self.layers)

    @property
    def useful_macs(self) -> int:
        """Multiply-accumulates of one inference whose results are read."""
        return sum(layer.useful_macs for layer in self.layers)

    def frame(self, q: Mapping[str, IntArray]) -> IntArray:
        """Lay out quantized inputs as input frames: as words, or as they are where the hardware lays them out.

        Parameters
        ----------
        q : mapping of ndarray of int64, shape (N, C, H, W)
            Integers by name of input.

        Returns
        -------
        ndarray of int64, shape (N / batch, beats, config.frame_values)
            A frame for each sample, or for each batch of them; the last sample is repeated until one is full.

        Raises
        ------
        HwquantError
            An input is missing.
        """
        missing = [item.name for item in self.inputs if item.name not in q]
        if missing:
            raise HwquantError(f"the network's input {missing[0]!r} is missing")
        rows = all_together({item.name: q[item.name] for item in self.inputs}, self.batch)
        if self.config.raw_inputs:
            parts = [to_beats(rows[item.name], self.config.frame_values) for item in self.inputs]
        else:
            parts = [item.to_words(rows[item.name]) for item in self.inputs]
        return np.concatenate(parts, axis=1)

    def results(self, words: IntArray) -> dict[str, IntArray]:
        """Read the output tensors, int64 (N * batch, C, H, W) by name, from the words of N output frames."""
        tensors, start = {}, 0
        for item in self.outputs:
            tensors[item.name] = apart(item.from_words(words[:, start : start + item.words]), self.batch)
            start += item.words
        return tensors


def _whole_bursts(beats: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Beats, and zeros up to the end of a burst."""
    return np.pad(beats, ((0, whole_bursts(len(beats)) - len(beats)), (0, 0)))


def _word_beats(words: Sequence[int], bits: int, width: int) -> NDArray[np.uint8]:
    """Words of so many bits in beats of ``width`` bits: uint8 [beats, bytes]."""
    size = -(-bits // 8)
    raw = b"".join(word.to_bytes(size, "little") for word in words)
    octets = np.frombuffer(raw, np.uint8).reshape(-1, size)
    return _beats(np.unpackbits(octets, axis=1, count=bits, bitorder="little"), width)


def _beats(bits: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Words, as uint8 [words, bits], in beats of ``width`` bits: uint8 [beats, bytes]."""
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % width)))
    return np.packbits(padded, axis=1, bitorder="little").reshape(-1, width // 8)
