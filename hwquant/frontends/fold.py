"""Fold what has no node of its own: affine maps (BatchNorm, constant Mul and Add) and zero padding.

An :class:`Affine` goes backward into the convolution that alone produces its input, else forward into the
convolutions that read it, else it stays as a depthwise 1x1 convolution. A :class:`Pad` goes into the windows
that read it where that is exact, else it stays as a depthwise 1x1 convolution with padding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import Unsupported
from hwquant.expression import Expression
from hwquant.graph import (
    AveragePool,
    BaseNode,
    Clip,
    Concat,
    Conv,
    Function,
    MaxPool,
    Node,
    Rearrange,
    Shape,
)
from hwquant.window import Window

LEAST = float(np.finfo(np.float32).min)
"""At or below it a padding is taken for minus infinity."""


@dataclass(frozen=True, eq=False)
class Affine(BaseNode):
    """An affine map ``x * scale + shift``.

    Attributes
    ----------
    scale : ndarray of float64, shape (C, H, W)
        The factors.
    shift : ndarray of float64, shape (C, H, W)
        What is added.
    """

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]

    def per_channel(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Scale and shift as [C], or None if they differ within a channel."""
        scale, shift = (array.reshape(len(array), -1) for array in (self.scale, self.shift))
        if (scale != scale[:, :1]).any() or (shift != shift[:, :1]).any():
            return None
        return scale[:, 0], shift[:, 0]

    def numbers(self) -> tuple[float, float] | None:
        """Scale and shift as numbers, or None if they are not the same for all elements."""
        scale, shift = self.scale.flat[0], self.shift.flat[0]
        same = bool((self.scale == scale).all() and (self.shift == shift).all())
        return (float(scale), float(shift)) if same else None


@dataclass(frozen=True, eq=False)
class Pad(BaseNode):
    """Zeros around every channel.

    Attributes
    ----------
    window : Window
        The padding, of single pixels as a window.
    infinite : bool, default False
        Minus infinity in place of zeros, which only a maximum can read.
    """

    window: Window
    infinite: bool = False

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape (C, H, W) with the padding."""
        return (shapes[0][0], *self.window.output_size(shapes[0][1:]))


Unfolded = Node | Affine | Pad
"""What frontends make of a model's operators: the network's kinds, and the two that :func:`fold` rids it of."""


def mapped(scale: float, shift: float) -> Expression:
    """``x * scale + shift`` as an expression."""
    x = Expression()
    x = x if scale == 1 else x * scale
    return x if shift == 0 else x + shift


class _Network:
    """Nodes in topological order, with the edits that folding needs."""

    def __init__(self, nodes: Iterable[Unfolded], outputs: Mapping[str, str]) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.outputs = dict(outputs)

    def consumers(self, tensor: str) -> list[Unfolded]:
        """The nodes that read a tensor."""
        return [node for node in self.nodes.values() if tensor in node.inputs]

    def private(self, tensor: str) -> bool:
        """Whether one node alone reads the tensor and it is no output."""
        return tensor not in self.outputs.values() and len(self.consumers(tensor)) == 1

    def remove(self, node: Unfolded) -> None:
        """Drop a node; its readers read its input instead."""
        (source,) = node.inputs
        del self.nodes[node.name]
        for reader in self.consumers(node.name):
            inputs = tuple(source if name == node.name else name for name in reader.inputs)
            self.nodes[reader.name] = replace(reader, inputs=inputs)
        self.outputs = {
            name: source if tensor == node.name else tensor for name, tensor in self.outputs.items()
        }


def fold(
    nodes: Iterable[Unfolded], outputs: Mapping[str, str], shapes: Mapping[str, Shape]
) -> tuple[list[Node], dict[str, str]]:
    """Rid the nodes of :class:`Affine` and :class:`Pad`, and of what no output needs.

    Parameters
    ----------
    nodes : iterable of Node, Affine or Pad
        The nodes in topological order.
    outputs : mapping of str to str
        The tensor of each output, by its name.
    shapes : mapping of Shape
        The shape (C, H, W) of every tensor.

    Returns
    -------
    nodes : list of Node
        The nodes, in topological order.
    outputs : dict of str to str
        The tensor of each output, which may have changed.
    """
    network = _Network(reachable(nodes, outputs.values()), outputs)
    for name in list(network.nodes):
        node = network.nodes.get(name)
        if isinstance(node, Pad) and _pad_forward(network, node, shapes[node.inputs[0]]):
            network.remove(node)
    for name in list(network.nodes):
        node = network.nodes.get(name)
        if isinstance(node, Affine) and _affine_backward(network, node):
            network.remove(node)
    for name in list(network.nodes):
        node = network.nodes.get(name)
        if isinstance(node, Affine) and _affine_forward(network, node, shapes):
            network.remove(node)
    for name in list(network.nodes):
        node = network.nodes[name]
        if isinstance(node, Function):
            _function_backward(network, node)
    return [_lowered(node, shapes) for node in network.nodes.values()], network.outputs


def reachable(nodes: Iterable[Unfolded], tensors: Collection[str]) -> list[Unfolded]:
    """The nodes that the given tensors depend on, in order."""
    needed, kept = set(tensors), []
    for node in reversed(list(nodes)):
        if node.name in needed:
            kept.append(node)
            needed.update(node.inputs)
    return kept[::-1]


def _affine_backward(network: _Network, node: Affine) -> bool:
    """``affine(conv(x))`` is a convolution, and of an affine map it is one again; so it is of a function, in its place.

    True if the node is left to remove.
    """
    (source,) = node.inputs
    producer = network.nodes.get(source)
    if not network.private(source):
        return False
    if isinstance(producer, Affine):
        network.nodes[source] = replace(
            producer, scale=producer.scale * node.scale, shift=producer.shift * node.scale + node.shift
        )
        return True
    numbers = node.numbers()
    if isinstance(producer, Function) and numbers is not None:
        del network.nodes[source]
        expression = mapped(*numbers).of(producer.expression)
        network.nodes[node.name] = replace(producer, name=node.name, expression=expression)
        return False
    channels = node.per_channel()
    if not isinstance(producer, Conv) or channels is None:
        return False
    scale, shift = channels
    weight, bias = producer.weight * scale[:, None, None, None], producer.bias * scale + shift
    network.nodes[source] = replace(producer, weight=weight, bias=bias)
    return True


def _function_backward(network: _Network, node: Function) -> None:
    """A function of a function that nothing else reads is one function."""
    (source,) = node.inputs
    producer = network.nodes.get(source)
    if isinstance(producer, Function) and network.private(source):
        network.remove(producer)
        network.nodes[node.name] = replace(
            node, inputs=producer.inputs, expression=node.expression.of(producer.expression)
        )


def _affine_forward(network: _Network, node: Affine, shapes: Mapping[str, Shape]) -> bool:
    """``conv(affine(x))`` is a convolution wherever no padding comes between them; of functions it is one again."""
    readers = network.consumers(node.name)
    if node.name in network.outputs.values() or not readers:
        return False
    folded = [_after(node, reader, shapes) for reader in readers]
    for made in folded:
        if made is None:
            return False
    for made in folded:
        if made is not None:
            network.nodes[made.name] = made
    return True


def _after(node: Affine, reader: Unfolded, shapes: Mapping[str, Shape]) -> Unfolded | None:
    """A reader of an affine map that computes it, too; None where it cannot."""
    if isinstance(reader, Conv):
        return _conv_after(node, reader, shapes)
    numbers = node.numbers()
    if isinstance(reader, Function) and numbers is not None:
        return replace(reader, expression=reader.expression.of(mapped(*numbers)))
    return None


def _conv_after(node: Affine, conv: Conv, shapes: Mapping[str, Shape]) -> Conv | None:
    if conv.window.padded and node.shift.any():
        return None
    out, per_group, kh, kw = conv.weight.shape
    _, height, width = shapes[node.name]
    whole = (
        (kh, kw) == (height, width)
        and conv.groups == 1
        and not conv.window.padded
        and conv.window.dilation == (1, 1)
    )
    per_channel = node.per_channel()
    if whole:
        scale, shift = node.scale[None], node.shift[None]
    elif per_channel is not None:
        # Output channels of group g read the input channels of group g.
        scale, shift = (
            array.reshape(conv.groups, 1, per_group, 1, 1)
            .repeat(out // conv.groups, axis=1)
            .reshape(out, per_group, 1, 1)
            for array in per_channel
        )
    else:
        return None
    bias = conv.bias + (conv.weight * shift).sum(axis=(1, 2, 3))
    return replace(conv, weight=conv.weight * scale, bias=bias)


def _pad_forward(network: _Network, node: Pad, shape: Shape) -> bool:
    """Make zeros a reading window's own padding, where that is exact.

    It is for a convolution, for a mean that counts them, and for a maximum over values that are not negative, where
    they never win against the pixels.
    """
    readers = network.consumers(node.name)
    if node.name in network.outputs.values() or not readers:
        return False
    merged = [_padded(network, node, reader, shape) for reader in readers]
    for item in merged:
        if item is None:
            return False
    for item in merged:
        if item is not None:
            network.nodes[item.name] = item
    return True


def _padded(network: _Network, node: Pad, reader: Unfolded, shape: Shape) -> Unfolded | None:
    """A reader of a padded tensor that pads as much itself, where that is known to be exact."""
    if node.infinite and not isinstance(reader, MaxPool):
        return None
    match reader:
        case Conv():
            return replace(reader, window=_wider(reader.window, node))
        case AveragePool():
            window = _wider(reader.window, node)
            if _within(window) and (reader.count_include_pad or not reader.window.padded):
                return replace(reader, window=window, count_include_pad=True)
        case MaxPool():
            window = _wider(reader.window, node)
            never_wins = node.infinite or _never_negative(network, node.inputs[0])
            if _within(window) and never_wins and window.sees_a_pixel_everywhere(shape[1:]):
                return replace(reader, window=window)
    return None


def _wider(window: Window, node: Pad) -> Window:
    """The window with the padding of both."""
    top, left, bottom, right = (a + b for a, b in zip(window.padding, node.window.padding))
    return replace(window, padding=(top, left, bottom, right))


def _within(window: Window) -> bool:
    """Whether there is less padding on every side than the window extends over."""
    return all(pad < extent for pad, extent in zip(window.padding, window.extent * 2))


def _never_negative(network: _Network, tensor: str) -> bool:
    """Whether no value of a tensor can be below 0, as far as is known."""
    node = network.nodes.get(tensor)
    match node:
        case Clip():
            return node.low >= 0
        case MaxPool() | AveragePool() | Concat() | Rearrange():
            return all(_never_negative(network, name) for name in node.inputs)
        case Pad():
            return not node.infinite and _never_negative(network, node.inputs[0])
        case _:
            return False


def _lowered(node: Unfolded, shapes: Mapping[str, Shape]) -> Node:
    """An Affine or Pad that nothing took, as a depthwise 1x1 convolution."""
    match node:
        case Affine():
            per_channel = node.per_channel()
            if per_channel is None:
                raise Unsupported(
                    f"node {node.name!r} multiplies or adds a constant that differs within a channel, which only "
                    "works on the network's input or before a fully connected layer; use one number a channel",
                    where=node.name,
                )
            scale, shift = per_channel
            return Conv(node.name, node.inputs, scale.reshape(-1, 1, 1, 1), shift.copy(), groups=len(scale))
        case Pad():
            if node.infinite:
                raise Unsupported(
                    f"node {node.name!r} pads with minus infinity, which only works before a max pool whose window "
                    "is larger than the padding",
                    where=node.name,
                )
            channels = shapes[node.name][0]
            ones, zeros = np.ones((channels, 1, 1, 1)), np.zeros(channels)
            return Conv(node.name, node.inputs, ones, zeros, node.window, groups=channels)
        case _:
            return node
