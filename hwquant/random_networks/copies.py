"""Random copies of pixels and channels, for the networks of :mod:`hwquant.random_networks.builder`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hwquant.frontends.found_copies import find_copies
from hwquant.qgraph import Rearrange

if TYPE_CHECKING:
    from hwquant.random_networks.builder import Builder

Index = NDArray[np.int64]
MOST_ELEMENTS = 600
"""Of an enlarged tensor: what is larger only takes longer."""


def append_copy(builder: Builder) -> None:
    """The last tensor enlarged, cropped, mirrored, padded, its channels in another order; or two woven or joined."""
    source = builder.last
    shape = builder.tensors[source].shape
    index = np.arange(int(np.prod(shape))).reshape(shape)
    kinds = ["enlarged", "every other", "reversed", "shuffled", "reflected", "zeros", "joined", "woven"]
    kind = str(builder.rng.choice(kinds))
    sources = [source]
    if kind in ("joined", "woven"):
        builder.layer([builder.convolution(source, keep_shape=True)], like=builder.tensors[source])
        sources.append(builder.last)
    view = _view(builder.rng, kind, index)
    copies = find_copies(view, [builder.tensors[name].shape for name in sources])
    if copies is not None:
        builder.move(Rearrange(builder.name("copy"), tuple(sources), view.shape, copies))


def _view(rng: np.random.Generator, kind: str, index: Index) -> Index:
    """The order (C, H, W) of the elements; those of a second tensor come after the first's, and zero after both."""
    axis = int(rng.integers(1, 3))
    second = index + index.size
    match kind:
        case "enlarged" if index.size <= MOST_ELEMENTS // 4:
            return index.repeat(2, axis=axis)
        case "every other":
            first = int(rng.integers(0, 2)) if index.shape[axis] > 1 else 0
            return np.take(index, range(first, index.shape[axis], 2), axis)
        case "reversed":
            return np.flip(index, axis)
        case "shuffled":
            return index[rng.permutation(len(index))[: rng.integers(1, len(index) + 1)]]
        case "reflected" if index.shape[axis] > 1:
            return np.pad(
                index, [(1, 1) if number == axis else (0, 0) for number in range(3)], mode="reflect"
            )
        case "zeros":
            sides = [(int(rng.integers(0, 2)), int(rng.integers(0, 2))) for _ in range(3)]
            return np.pad(index, sides, constant_values=index.size)
        case "joined":
            return np.concatenate([index, second], axis)
        case "woven":
            return np.stack([index, second], axis + 1).reshape(
                [size * 2 if number == axis else size for number, size in enumerate(index.shape)]
            )
        case _:
            return index[::-1]
