"""What an importer knows about an intermediate value: which tensor it is, seen in which order.

Flatten, Reshape, Transpose, Squeeze and Unsqueeze compute nothing. They only change how the elements of a
*base tensor* are seen, so a value is the base tensor's name and an integer array telling which element of the
base each element of the value is. The array is moved by the very numpy functions that the operators name;
whoever reads the value then permutes its weights, and no such operator remains.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.given import GivenFormat
from hwquant.graph import Shape

Index = NDArray[np.int64]
Float = NDArray[np.float64]
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Value:
    """A view of a base tensor.

    Attributes
    ----------
    tensor : str
        Name of the base tensor.
    shape : tuple of int
        Shape of the value, batch dimension first.
    index : ndarray of int64 or None, optional
        Which element of the base each element of the value is, in the shape ``shape``:
        ``value.ravel() == base.ravel()[index.ravel()]`` over the whole batch. None for the order as it is.
    preprocess : tuple of ndarray of float64, or None, optional
        The scale and the shift between the user's array and this value, where it is a network input whose layout is
        still open; each has the elements of a sample, in the user's order, and ``index`` counts these. None for all
        other values.
    host : tuple of str, default ()
        Functions that the host applies to the value.
    integer : bool, default False
        The value has an integer type (before a Cast), in which arithmetic would wrap or truncate.
    quantized : GivenFormat or None, optional
        The format of the integers that the value is between QuantizeLinear and DequantizeLinear; None elsewhere.
    codes : tuple of int or None, optional
        The least and the greatest integer that the user gives, of an input of integers; None elsewhere.
    """

    tensor: str
    shape: tuple[int, ...]
    index: Index | None = None
    preprocess: tuple[Float, Float] | None = None
    host: tuple[str, ...] = ()
    integer: bool = False
    quantized: GivenFormat | None = None
    codes: tuple[int, int] | None = None

    @property
    def seen_shape(self) -> tuple[int, ...]:
        """The shape that the model knows: behind an argmax without the axis of the classes."""
        behind = self.host[-1:] == ("argmax",)
        return (self.shape[0], *self.shape[2:]) if behind else self.shape

    def indices(self) -> Index:
        """``index``, spelled out where it is None."""
        if self.index is not None:
            return self.index
        return np.arange(math.prod(self.shape), dtype=np.int64).reshape(self.shape)

    def view(self, function: Callable[[Array], Array]) -> Value:
        """Apply a numpy function that only moves elements or changes the shape."""
        index = function(self.indices())
        return replace(self, shape=index.shape, index=simplified(index))


def simplified(index: Index) -> Index | None:
    """The index, or None for one that changes nothing."""
    return None if np.array_equal(index.ravel(), np.arange(index.size)) else index


def each_once(sample: Index, elements: int) -> bool:
    """Whether a view of a sample has each of so many elements exactly once."""
    return sample.size == elements and bool((np.bincount(sample.ravel(), minlength=elements) == 1).all())


def layout(shape: tuple[int, ...]) -> Shape:
    """The (channels, height, width) of a sample in channel-major order; a sequence (C, L) has height 1."""
    match shape:
        case ():
            return (1, 1, 1)
        case (features,):
            return (features, 1, 1)
        case (channels, length):
            return (channels, 1, length)
        case (channels, height, *rest):
            return (channels, height, math.prod(rest))
    raise AssertionError("unreachable")


def compressed(array: Float) -> Float:
    """The smallest array that broadcasts to ``array``."""
    for axis in range(array.ndim):
        first = array.take([0], axis=axis)
        if np.array_equal(np.broadcast_to(first, array.shape), array):
            array = first
    shape = list(array.shape)
    while shape and shape[0] == 1:
        del shape[0]
    return array.reshape(shape)


def of_each_class(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function that moves elements of (N, ...), on what belongs to each class of (N, classes, ...) alike."""

    def moved(array: Array) -> Array:
        places = np.moveaxis(array, 1, -1)
        numbers = np.arange(math.prod(places.shape[:-1])).reshape(places.shape[:-1])
        return np.moveaxis(places.reshape(numbers.size, -1)[function(numbers)], -1, 1)

    return moved
