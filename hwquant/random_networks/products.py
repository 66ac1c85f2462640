"""Random products of two tensors, for the networks of :mod:`hwquant.random_networks.builder`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from hwquant.golden import reference
from hwquant.qgraph import Product
from hwquant.window import Window

if TYPE_CHECKING:
    from hwquant.random_networks.builder import Builder


def append_product(builder: Builder) -> None:
    """The last tensor times a factor for each channel, a tensor of its shape, or itself."""
    pixels = builder.last
    channels, height, width = builder.tensors[pixels].shape
    match str(builder.rng.choice(["channel", "shape", "itself"], p=[0.5, 0.4, 0.1])):
        case "channel":  # of a weighted mean, as squeeze-and-excitation has it
            shape = (channels, 1, height, width)
            builder.layer([builder.term(pixels, shape, Window(shape[2:]), channels)])
        case "shape":
            builder.layer([builder.convolution(pixels, keep_shape=True)])
    _multiply(builder, pixels, builder.last)


def _multiply(builder: Builder, pixels: str, factors: str) -> None:
    """A product whose scale is such that values fill the bits of its tensor."""
    rng, name = builder.rng, builder.name("product")
    a, b = builder.tensors[pixels], builder.tensors[factors]
    tensor = builder.tensor(name, a.shape)
    acc = (builder.values[pixels] - a.zero_point) * (builder.values[factors] - b.zero_point)
    multiplier = None
    if builder.features.multiplier and rng.random() < 0.5:
        multiplier = int(rng.integers(1 << 10, 1 << 15))
    factor = multiplier or 1
    steps = (1 << tensor.bits) / rng.uniform(3, 5)
    shift = max(0, round(math.log2(max(1.0, float(acc.std())) * factor / steps)))
    low, high = tensor.limits
    if rng.random() < 0.5:
        low = tensor.zero_point
    builder.tensors[name] = replace(tensor, scale=a.scale * b.scale * 2.0**shift / factor)
    node = Product(name, (pixels, factors), shift, low, high, multiplier)
    builder.values[name] = reference.evaluate(node, builder.values, builder.tensors)
    builder.append(node)
