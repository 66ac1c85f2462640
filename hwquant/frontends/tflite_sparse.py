"""Sparse constants of TensorFlow Lite files, which are made dense.

Elements are stored in the order in which a tree leads to them. Its levels are the dimensions, and the dimensions of a
block within them, in any order; a level has all of its indices (DENSE), or those that are not zero (SPARSE_CSR): which
ones, and where in this list those of each branch begin.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.frontends.tflite_tables import Tables
from hwquant.frontends.tflite_verifier import union

MOST_DENSE = 1 << 26
"""Bytes of all sparse constants of a file once they are dense."""

_DENSE, _SPARSE = 0, 1
"""Formats of a dimension, in the schema's numbers."""


def dense(
    read: Tables, schema: Any, sparsity: Any, values: NDArray[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Make a sparse constant dense.

    Parameters
    ----------
    read : Tables
        The tables of the file.
    schema : module
        The package ``tflite``.
    sparsity : SparsityParameters
        Where the elements are.
    values : ndarray, shape (N,)
        The elements that are stored.
    shape : tuple of int
        The shape of the constant; it has been checked that its size is bounded.

    Returns
    -------
    ndarray
        The constant; zero where nothing is stored.

    Raises
    ------
    ValueError
        No runtime could read it: an element has no place in it, or one that is taken.
    """
    order = read.numbers(sparsity, "TraversalOrder").tolist()
    blocks = read.numbers(sparsity, "BlockMap").tolist()
    levels = read.tables(sparsity, "DimMetadata")
    rank = len(shape)
    if sorted(order[:rank]) != list(range(rank)) or sorted(order[rank:]) != list(range(rank, len(order))):
        raise ValueError(f"a sparse tensor of {rank} dimensions has the traversal order {order}")
    if len(order) != rank + len(blocks) or len(levels) != len(order):
        raise ValueError(f"a sparse tensor has {len(levels)} levels, {len(blocks)} of them in blocks")
    if blocks != sorted(set(blocks) & set(range(rank))):
        raise ValueError(f"a sparse tensor has blocks of the dimensions {blocks}")
    sizes, strides = _sizes(levels, order, blocks, shape)
    places = np.zeros(1, np.int64)  # of each branch so far, in the constant in a line
    for level, axis in zip(levels, order):
        repeats, found = _level(read, schema, level, sizes[axis], len(places))
        places = np.repeat(places, repeats) + found * strides[axis]
    if len(places) != len(values):
        raise ValueError(f"a sparse tensor has {len(values)} elements and {len(places)} places")
    result = np.zeros(math.prod(shape), values.dtype)
    result[places] = values
    return result.reshape(shape)


def _sizes(
    levels: list[Any], order: list[int], blocks: list[int], shape: tuple[int, ...]
) -> tuple[list[int], list[int]]:
    """How many indices the dimensions have, and behind them those of a block, and how far neighbours are apart."""
    rank = len(shape)
    sizes = list(shape)
    strides = [math.prod(shape[axis + 1 :]) for axis in range(rank)]
    for number, dimension in enumerate(blocks):
        level = levels[order.index(rank + number)]
        size = level.DenseSize()
        # The runtime looks for a block's size where another one is, if blocks are traversed in another order.
        if (
            level.Format() != _DENSE
            or size < 1
            or shape[dimension] % size
            or levels[order[rank + number]].DenseSize() != size
        ):
            raise ValueError(f"a sparse tensor of shape {shape} has blocks of {size}")
        sizes[dimension] //= size
        sizes.append(size)
        strides.append(strides[dimension])
        strides[dimension] *= size
    return sizes, strides


def _level(
    read: Tables, schema: Any, level: Any, size: int, count: int
) -> tuple[int | NDArray[np.int64], NDArray[np.int64]]:
    """How often a level repeats each of the ``count`` branches that lead to it, and its index in all that follow."""
    if level.Format() == _DENSE:
        if level.DenseSize() != size:
            raise ValueError(f"a sparse tensor has a level of {level.DenseSize()} indices, not {size}")
        if size * count > len(read.content):
            raise ValueError("a sparse tensor has more places than the file has bytes")
        return size, np.tile(np.arange(size), count)
    if level.Format() != _SPARSE:
        raise ValueError(f"a sparse tensor has a level of format {level.Format()}")
    ends = _numbers(read, schema, level, "ArraySegments")
    found = _numbers(read, schema, level, "ArrayIndices")
    repeats = np.diff(ends)
    if len(ends) != count + 1 or ends[0] != 0 or ends[-1] != len(found) or (repeats < 0).any():
        raise ValueError("a sparse tensor has branches that do not begin where others end")
    first = np.zeros(len(found), bool)
    first[ends[:-1][repeats > 0]] = True
    ascending = np.diff(found, prepend=0) > 0
    if ((found < 0) | (found >= size)).any() or not (first | ascending).all():
        raise ValueError("a sparse tensor has indices out of range, or twice")
    return repeats, found


def _numbers(read: Tables, schema: Any, level: Any, field: str) -> NDArray[np.int64]:
    """The numbers of a level, in whichever of the widths that there are."""
    kind, found = getattr(level, f"{field}Type")(), getattr(level, field)()
    kinds = union(schema, field)
    if kind not in kinds or found is None:
        raise ValueError(f"a sparse tensor lacks its {field}")
    vector: Any = kinds[kind]()
    vector.Init(found.Bytes, found.Pos)
    return read.numbers(vector, "Values").astype(np.int64)
