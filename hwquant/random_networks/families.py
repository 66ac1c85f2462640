"""The random networks of a regression: those that exercise an array, one a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from hwquant.program.array_shape import ArrayShape
from hwquant.qgraph import IntArray, QGraph
from hwquant.random_networks.builder import random_inputs, random_qgraph
from hwquant.random_networks.features import Features

FAMILIES = (
    Features(),
    Features(channels=(1, 20), kernels=(1, 2, 3, 4, 7), size=(1, 12)),
    Features(layers=(2, 5), size=(1, 6)),
    Features(channels=(9, 40), size=(1, 5), kernels=(1, 3), layers=(1, 2)),
    Features(inputs=2, outputs=3, pool_chains=True),
)
"""Small and mixed, large windows, deep, wide, and with several ends."""

ZERO_BLOCKS = (0.0, 0.3, 0.6, 0.9)
"""Shares of pruned blocks: from dense to almost empty."""


ANYTHING = Features(multiplier=True, channel_shifts=True, products=True, copies=True, tables=0.4)
"""What hardware executes that is made for the network."""

OF_ARRAY = (
    *("multiplier", "offsets", "per_channel", "channel_shifts", "block", "products", "copies", "tables"),
)
"""What networks may contain because of the array; the rest is the family's."""


def features_for(shape: ArrayShape) -> Features:
    """What networks may contain that an array executes."""
    return Features(
        multiplier=bool(shape.multiplier_bits),
        offsets=shape.offset != "none",
        per_channel=shape.channel_offsets,
        channel_shifts=True,
        block=(shape.rows, shape.columns),
        products=bool(shape.product_bits),
        copies=shape.strided_writes,
        tables=0.4 if shape.tables else 0.0,
    )


def random_case(
    suits: Features, seed: int, samples: int, given: Mapping[str, Any] = MappingProxyType({})
) -> tuple[QGraph, dict[str, IntArray]]:
    """Make the network of a seed, and integers for its inputs.

    Parameters
    ----------
    suits : Features
        What an array executes; its block are the array's rows and columns.
    seed : int
        Chooses the family, the share of pruned blocks, the network and the samples.
    samples : int
        Number of samples.
    given : mapping of str to object, optional
        Fields of :class:`Features` that are so in every family.

    Returns
    -------
    qgraph : QGraph
        The network.
    inputs : dict of ndarray of int64, shape (samples, C, H, W)
        Integers of its inputs, by name, over all of their ranges.
    """
    rng = np.random.default_rng((*suits.block, seed))
    features = replace(
        FAMILIES[seed % len(FAMILIES)],
        **{name: getattr(suits, name) for name in OF_ARRAY},
        zero_blocks=float(rng.choice(ZERO_BLOCKS)),
        weight_bits=(1, 8) if seed % 3 else (1, 4),
    )
    qgraph = random_qgraph(rng, replace(features, **given))
    return qgraph, random_inputs(rng, qgraph, samples)
