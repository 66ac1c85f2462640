"""The float network: what every frontend produces and the quantizer consumes.

All activations are (channels, height, width), without the batch dimension. A fully connected layer is a
:class:`Conv` whose kernel covers its whole input: flattening never appears as a node, because the frontends
fold any reordering of elements into the weights that read them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwquant.copies import Copy, check_copies, check_sources
from hwquant.ends import Ends
from hwquant.errors import HwquantError
from hwquant.expression import Expression
from hwquant.given import Given
from hwquant.history import Step
from hwquant.interface import Input, Output, Whole, check_states
from hwquant.window import EACH_PIXEL, Window, check_kernel

Shape = tuple[int, int, int]
"""channels, height, width"""


@dataclass(frozen=True, eq=False)
class BaseNode:
    """What all nodes have; each has exactly one output tensor, which carries the node's name.

    Attributes
    ----------
    name : str
        Name of the node, and of its output tensor.
    inputs : tuple of str
        Names of the tensors that it reads.
    """

    name: str
    inputs: tuple[str, ...]

    def output_shape(self, *shapes: Shape) -> Shape:
        """Find the shape of the output tensor for the shapes of the inputs."""
        return shapes[0]

    @property
    def parameters(self) -> Mapping[str, NDArray[np.float64]]:
        """The arrays that training makes, by the names of their attributes; most kinds have none."""
        return {}

    def macs(self, *shapes: Shape) -> int:
        """Count the multiply-accumulates of one inference, with those on padding, for the shapes of the inputs."""
        return 0


@dataclass(frozen=True, eq=False)
class Conv(BaseNode):
    """Two-dimensional cross-correlation, grouped or not; also every fully connected layer.

    Attributes
    ----------
    weight : ndarray of float64, shape (out, in / groups, kernel height, kernel width)
        Weights.
    bias : ndarray of float64, shape (out,)
        What is added to each output channel.
    window : Window
        How the kernel moves; its kernel is that of ``weight``, and its padding is zeros.
    groups : int, default 1
        Parts that the channels are divided into; each is a convolution of its own.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    window: Window = EACH_PIXEL
    groups: int = 1

    def __post_init__(self) -> None:
        check_kernel(f"node {self.name!r}", self.window, self.weight)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Find the shape of the output tensor for the shape of the input."""
        return (len(self.weight), *self.window.output_size(shapes[0][1:]))

    @property
    def parameters(self) -> Mapping[str, NDArray[np.float64]]:
        """Weights and biases, by the names of their attributes."""
        return {"weight": self.weight, "bias": self.bias}

    def macs(self, *shapes: Shape) -> int:
        """Count the multiply-accumulates of one inference, with those on padding, for the shape of the input."""
        return math.prod(self.weight.shape) * math.prod(self.output_shape(*shapes)[1:])


@dataclass(frozen=True, eq=False)
class Clip(BaseNode):
    """Clamp ``min(max(x, low), high)``: ReLU is (0, inf), ReLU6 is (0, 6).

    Attributes
    ----------
    low : float, default -inf
        The least output.
    high : float, default inf
        The greatest output.
    """

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, eq=False)
class Function(BaseNode):
    """A function of one variable, element by element: sigmoid, SiLU, GELU and all others but a clip.

    Attributes
    ----------
    expression : Expression
        The function.
    """

    expression: Expression


@dataclass(frozen=True, eq=False)
class MaxPool(BaseNode):
    """Maximum over a window; padding never wins.

    Attributes
    ----------
    window : Window
        What the maximum is taken over.
    """

    window: Window

    def output_shape(self, *shapes: Shape) -> Shape:
        """Find the shape of the output tensor for the shape of the input."""
        return (shapes[0][0], *self.window.output_size(shapes[0][1:]))


@dataclass(frozen=True, eq=False)
class AveragePool(BaseNode):
    """Mean over a window; global average pooling has a kernel of the whole input.

    Attributes
    ----------
    window : Window
        What the mean is taken over; it is not dilated.
    count_include_pad : bool, default False
        Whether the divisor is always the kernel's area; else it is the number of real pixels.
    """

    window: Window
    count_include_pad: bool = False

    def __post_init__(self) -> None:
        if self.window.dilation != (1, 1):
            raise HwquantError(f"average pool {self.name!r} has a dilated window, which is not supported")

    def output_shape(self, *shapes: Shape) -> Shape:
        """Find the shape of the output tensor for the shape of the input."""
        return (shapes[0][0], *self.window.output_size(shapes[0][1:]))


@dataclass(frozen=True, eq=False)
class Add(BaseNode):
    """Elementwise sum of two or more tensors of one shape."""


@dataclass(frozen=True, eq=False)
class Multiply(BaseNode):
    """Elementwise product of two tensors: of one shape, or the second with one factor a channel, (channels, 1, 1)."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """Find the shape of the output tensor for the shapes of the inputs.

        Raises
        ------
        HwquantError
            The second input has neither the first one's shape nor one factor for each of its channels.
        """
        return product_shape(self.name, *shapes)

    def macs(self, *shapes: Shape) -> int:
        """Count the multiplications of one inference, for the shapes of the inputs."""
        return math.prod(shapes[0])


def product_shape(name: str, a: Shape, b: Shape) -> Shape:
    """Find the shape of the product ``name`` of two tensors, which is that of the first.

    Raises
    ------
    HwquantError
        The second one's is neither the same nor one factor for each channel.
    """
    if b not in (a, (a[0], 1, 1)):
        raise HwquantError(
            f"product {name!r} reads factors of shape {b} for a tensor of shape {a}; the shapes must be equal, or it "
            f"must be one factor a channel, {(a[0], 1, 1)}"
        )
    return a


@dataclass(frozen=True, eq=False)
class Concat(BaseNode):
    """Concatenation along the channels."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """Find the shape of the output tensor for the shapes of the inputs."""
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


@dataclass(frozen=True, eq=False)
class Rearrange(BaseNode):
    """Pixels and channels of tensors, copied to other places: slices, shuffles, interleaving, joining along an axis.

    Attributes
    ----------
    shape : tuple of int
        Channels, height and width of the output.
    copies : tuple of Copy
        What goes where: their targets divide the output's pixels. Channels that no copy writes are zero.
    """

    shape: Shape
    copies: tuple[Copy, ...]

    def __post_init__(self) -> None:
        check_copies(f"node {self.name!r}", self.shape, len(self.inputs), self.copies)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Find the shape of the output tensor, and check that the inputs have what is copied."""
        check_sources(f"node {self.name!r}", shapes, self.copies)
        return self.shape

    @property
    def writes_zeros(self) -> bool:
        """Whether there is an element that no copy writes."""
        written = sum(int((copy.channels >= 0).sum()) * math.prod(copy.target.size) for copy in self.copies)
        return written < math.prod(self.shape)


Moving = MaxPool | Concat | Rearrange
"""Kinds that move values without arithmetic: real or integer, with one scale, zero point and width from end to end."""

Node = Conv | Clip | Function | MaxPool | AveragePool | Add | Multiply | Concat | Rearrange
"""All kinds. What must know them ends its ``match`` in ``assert_never``, so that mypy names it for a new one."""


@dataclass(frozen=True, eq=False)
class Graph(Whole):
    """A float network; names are unique over inputs and nodes.

    Attributes
    ----------
    name : str
        Name of the network.
    inputs : tuple of Input
        How the user's arrays become the first tensors.
    nodes : tuple of Node
        The nodes in topological order.
    outputs : tuple of Output
        How the last tensors become the user's arrays.
    history : tuple of Step, default empty
        What was done to the network before, for people; it is no part of what the network is.
    host : Ends or None, optional
        What stays with the host before ``inputs`` and after ``outputs``; None where that is nothing.
    given : Given, default empty
        The integers of a network that is quantized already: formats of tensors and grids of weights.
    shapes : mapping of tuple of int
        Channels, height and width of every tensor by name, inferred from the inputs.

    Raises
    ------
    HwquantError
        A name is there twice, a tensor is read that nothing produces, or a shape is empty.
    """

    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]
    history: tuple[Step, ...] = field(default=(), compare=False)
    host: Ends | None = None
    given: Given = field(default_factory=Given)
    shapes: Mapping[str, Shape] = field(init=False)

    def __post_init__(self) -> None:
        shapes: dict[str, Shape] = {}
        for item in self.inputs:
            shapes[item.name] = item.tensor_shape
        for node in self.nodes:
            if node.name in shapes:
                raise HwquantError(f"two tensors are called {node.name!r}")
            missing = [name for name in node.inputs if name not in shapes]
            if missing:
                raise HwquantError(
                    f"node {node.name!r} reads {missing[0]!r}, which nothing before it produces"
                )
            shape = node.output_shape(*(shapes[name] for name in node.inputs))
            if min(shape) < 1:
                raise HwquantError(f"node {node.name!r} has the empty output shape {shape}")
            shapes[node.name] = shape
        for output in self.outputs:
            if output.tensor not in shapes:
                raise HwquantError(f"output {output.name!r} reads {output.tensor!r}, which nothing produces")
        check_states(self.inputs, self.outputs)
        object.__setattr__(self, "shapes", shapes)

    def consumers(self, tensor: str) -> Sequence[Node]:
        """List the nodes that read a tensor, in order."""
        return [node for node in self.nodes if tensor in node.inputs]

    def macs(self) -> int:
        """Count the multiply-accumulates of one inference."""
        return sum(node.macs(*(self.shapes[name] for name in node.inputs)) for node in self.nodes)
