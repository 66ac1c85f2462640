"""What random networks may contain."""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.coding import Step


@dataclass(frozen=True)
class Features:
    """What a random network may contain. Pairs are (least, greatest).

    Attributes
    ----------
    layers : tuple of int, default (1, 3)
        Convolutions before the fully connected layer (a residual branch or a joined branch is one more).
    channels, size : tuple of int
        Channels of the input and of each layer; height and width of the input.
    activation_bits, weight_bits : tuple of int
        Within 2..8 and 1..8.
    kernels : tuple of int, default (1, 2, 3, 5)
        Kernel heights and widths to draw from.
    strides, dilation, asymmetric_padding, groups, depthwise : bool, default True
        What convolutions may have.
    offsets : bool, default True
        Whether weights are stored with one; without, their integers are what they are.
    per_channel : bool, default True
        Whether offsets and shifts may be an output channel's own.
    channel_shifts : bool, default False
        Whether shifts alone may be.
    anchors : tuple of str, default ("min", "max")
        Ends of the weights' range from which codes count.
    steps : tuple of int, default (1,)
        Steps of weights; those of step 2 are odd, and none of them is pruned.
    multiplier : bool, default False
        Whether half of the layers are requantized with a fixed-point multiplier.
    zero_blocks : float, default 0.3
        Share of the weight blocks (kernel position x input channels x output channels) to prune.
    block : tuple of int, default (4, 4)
        Input and output channels of such a block.
    pools : tuple of str
        Kinds of max pools: "plain" (windows side by side), "overlapping", "padded".
    residual, concat : bool, default True
        Whether layers may have two terms; whether branches may be joined.
    fully_connected : bool, default True
        Whether the network ends in a layer whose kernel is its whole input.
    inputs : int, default 1
        2 for a second input, which the first layer adds.
    outputs : int, default 1
        Tensors that the network returns, at most.
    pool_chains : bool, default False
        Whether there may be pools behind pools, and pools that only leave pixels out.
    products : bool, default False
        Whether there are products of two tensors behind layers, by channel and of one shape, with themselves too.
    copies : bool, default False
        Whether there are pixels and channels in another order, and of two tensors.
    tables : float, default 0.0
        Share of the layers that have a table, of numbers that rise or are in no order.
    """

    layers: tuple[int, int] = (1, 3)
    channels: tuple[int, int] = (1, 8)
    size: tuple[int, int] = (3, 10)
    activation_bits: tuple[int, int] = (2, 8)
    weight_bits: tuple[int, int] = (2, 8)
    kernels: tuple[int, ...] = (1, 2, 3, 5)
    strides: bool = True
    dilation: bool = True
    asymmetric_padding: bool = True
    groups: bool = True
    depthwise: bool = True
    offsets: bool = True
    per_channel: bool = True
    channel_shifts: bool = False
    anchors: tuple[str, ...] = ("min", "max")
    steps: tuple[Step, ...] = (1,)
    multiplier: bool = False
    zero_blocks: float = 0.3
    block: tuple[int, int] = (4, 4)
    pools: tuple[str, ...] = ("plain", "overlapping", "padded")
    residual: bool = True
    concat: bool = True
    fully_connected: bool = True
    inputs: int = 1
    outputs: int = 1
    pool_chains: bool = False
    products: bool = False
    copies: bool = False
    tables: float = 0.0


PLAIN = Features(
    kernels=(1, 3),
    strides=False,
    dilation=False,
    asymmetric_padding=False,
    groups=False,
    depthwise=False,
    per_channel=False,
    anchors=("min",),
    zero_blocks=0.0,
    pools=("plain",),
    residual=False,
    concat=False,
)
"""Convolutions, ReLU, plain pools and a fully connected layer, nothing else; for ``replace(PLAIN, ...)``."""
