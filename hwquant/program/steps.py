"""What an inference does whose tensors do not all fit inside, step by step: data that the planner makes.

A tensor lies *inside*, whole, in one half of the activation memory; or *outside*, whole, in external memory, from which
*pieces* of it, some of its rows, come in and to which they go; or it is nowhere whole, where a few layers hand on piece
after piece. Layers compute on pieces as on tensors.

Loads and stores are *moves*: they run beside the array, one after the other, in order. One begins when all that comes
before it is computed, and is certainly over only behind a :class:`Wait`. So that a move needs no turn of its own at a
memory with one read and one write port a half:

- all that is loaded lies in the first half, and nothing writes to that half while a load may be under way;
- all that is stored lies in the second half, and nothing reads that half while a store may be under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from hwquant.graph import Shape
from hwquant.program.layers import ArrayLayer
from hwquant.program.layout import Placement
from hwquant.program.placement import Placed
from hwquant.program.program import Part
from hwquant.qgraph import Tensor


@dataclass(frozen=True)
class Piece:
    """A tensor in the activation memory, or some of its rows, or of its planes.

    Attributes
    ----------
    name : str
        Name of the piece, as layers have it: that of the tensor where the tensor is inside.
    tensor : str
        Name of the tensor.
    rows : range
        The rows of the tensor.
    planes : range
        The planes of the tensor, each of which has a word for every pixel.
    shape : tuple of int
        Channels, height and width of the piece.
    address : int
        Address of its first word.
    """

    name: str
    tensor: str
    rows: range
    planes: range
    shape: Shape
    address: int


@dataclass(frozen=True)
class Run:
    """Words of a tensor that lie behind each other, outside and in the activation memory.

    Attributes
    ----------
    tensor : str
        Name of the tensor.
    first : int
        Number of the first word, in the order in which the host has the tensor's words: planes, rows, columns.
    address : int
        Address in the activation memory.
    count : int
        Number of words.
    """

    tensor: str
    first: int
    address: int
    count: int


@dataclass(frozen=True)
class Receive:
    """Words of an input come from the host.

    Attributes
    ----------
    run : Run
        The words.
    last : bool
        Whether they end the frame.
    """

    run: Run
    last: bool


@dataclass(frozen=True)
class Send:
    """Words of an output go to the host.

    Attributes
    ----------
    run : Run
        The words.
    last : bool
        Whether they end the frame.
    """

    run: Run
    last: bool


@dataclass(frozen=True)
class Load:
    """Words come from outside.

    Attributes
    ----------
    run : Run
        The words.
    """

    run: Run


@dataclass(frozen=True)
class Store:
    """Words go outside.

    Attributes
    ----------
    run : Run
        The words.
    """

    run: Run


@dataclass(frozen=True)
class Wait:
    """Nothing goes on until some moves are over.

    Attributes
    ----------
    moves : int
        How many of the inference's loads and stores, from the first on.
    """

    moves: int


@dataclass(frozen=True, eq=False)
class Compute:
    """The array computes a layer, or a band of one.

    Attributes
    ----------
    layer : ArrayLayer
        What is computed, with names of pieces for those of tensors.
    of : int
        Number of the network's layer that it is a band of.
    """

    layer: ArrayLayer
    of: int


Step = Receive | Send | Load | Store | Wait | Compute


@dataclass(frozen=True)
class Planned:
    """Layers that are computed together, band by band, and what that costs, as estimated.

    Attributes
    ----------
    first : int
        Number of the first layer.
    layers : int
        How many there are.
    along : {"rows", "planes"}
        What the bands are made of.
    bands : int
        Number of bands.
    where : mapping of str
        By name of the tensors that the layers read or make: "inside", "loaded", "stored", or "passing" where they are
        nowhere whole.
    loaded, stored : mapping of int
        By name of the tensors that are loaded, or stored: words that come in, or go out.
    weights : tuple of int
        By number of the layer among them: words of weights that come in.
    cycles : float
        Cycles in all.
    computed, activations, fetched : float
        Cycles of the array, and of the port for activations and for weights.
    """

    first: int
    layers: int
    along: Literal["rows", "planes"]
    bands: int
    where: Mapping[str, str]
    loaded: Mapping[str, int]
    stored: Mapping[str, int]
    weights: tuple[int, ...]
    cycles: float
    computed: float
    activations: float
    fetched: float


@dataclass(frozen=True, eq=False)
class Plan:
    """Where tensors are, and the steps of an inference.

    Attributes
    ----------
    groups : tuple of Planned
        The layers that are computed together, in order.
    steps : tuple of Step
        The steps in order.
    pieces : mapping of Piece
        All that lies in the activation memory, by name.
    outside : mapping of int
        By name of the tensors that lie outside, the number of their first word there.
    half : int
        Address of the second half's first word.
    peak : int
        Words of the activation memory up to the last one that is used.
    outside_words : int
        Words that lie outside.
    """

    groups: tuple[Planned, ...]
    steps: tuple[Step, ...]
    pieces: Mapping[str, Piece]
    outside: Mapping[str, int]
    half: int
    peak: int
    outside_words: int

    @cached_property
    def layers(self) -> tuple[ArrayLayer, ...]:
        """What the array computes, in order."""
        return tuple(step.layer for step in self.steps if isinstance(step, Compute))

    @cached_property
    def whole(self) -> Mapping[str, str]:
        """By name of each piece, the name of its tensor."""
        return {piece.name: piece.tensor for piece in self.pieces.values()}

    def parts(self, lanes: int) -> dict[str, Part]:
        """By name of each piece that is not a whole tensor, what of its tensor it has."""
        return {
            piece.name: Part(piece.tensor, piece.planes.start * lanes, piece.rows.start)
            for piece in self.pieces.values()
            if piece.name != piece.tensor
        }

    def placed(self, tensors: Mapping[str, Tensor], lanes: int) -> Placed:
        """Where all that lies in the activation memory lies.

        Parameters
        ----------
        tensors : mapping of Tensor
            The pieces as tensors, by name.
        lanes : int
            Channels in a word.
        """
        places = {
            piece.name: Placement(
                piece.name, piece.shape, lanes, tensors[piece.name].zero_point, piece.address
            )
            for piece in self.pieces.values()
        }
        return Placed(places, self.peak)
