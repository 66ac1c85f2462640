"""The network in a TensorFlow Lite file as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Quantization:
    """What the integers of a tensor stand for: ``scale * (integer - zero_point)``.

    Attributes
    ----------
    scales : ndarray of float32
        One, or one an index of ``axis``.
    zero_points : ndarray of int64
        As many.
    axis : int
        The axis along which scales differ; 0 where there is one.
    """

    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int

    def equals(self, other: Quantization | None) -> bool:
        """Whether integers stand for the same numbers."""
        return other is not None and (self.scales.tolist(), self.zero_points.tolist(), self.axis) == (
            other.scales.tolist(),
            other.zero_points.tolist(),
            other.axis,
        )


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file.

    Attributes
    ----------
    name : str
        Its name, which no other tensor has.
    kind : str
        The element type, as the schema calls it.
    shape : tuple of int
        The shape; of what operators compute it may be out of date.
    array : ndarray or None
        Its elements where they are in the file (of INT4 as int8).
    quantization : Quantization or None
        Of integers that stand for real numbers.
    sparse : bool, default False
        Whether the file has a part of the elements only; here all of them are.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    array: NDArray[Any] | None
    quantization: Quantization | None
    sparse: bool = False

    def alike(self, other: Tensor) -> bool:
        """Whether elements of both mean the same."""
        meaning = self.quantization
        same = other.quantization is None if meaning is None else meaning.equals(other.quantization)
        return self.kind == other.kind and same


@dataclass(frozen=True)
class Operation:
    """An operator of a file.

    Attributes
    ----------
    index : int
        Its place in the file.
    kind : str
        The operator's name in the schema, such as ``"CONV_2D"``; of a custom one its own.
    custom : bool
        Whether it is a custom operator.
    inputs, outputs : tuple of int
        Tensors by number; -1 for an input that is left out.
    table : str
        The class of its options, such as ``"Conv2DOptions"``; empty where it has none.
    options : mapping
        Their fields by name.
    """

    index: int
    kind: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    table: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Variable:
    """A tensor that is kept from one call to the next: zeros before the first.

    Attributes
    ----------
    name : str
        Its name.
    read : int
        The tensor that it is before a call, by number; no operator makes it.
    assigned : int
        The tensor that it is after the call, by number.
    """

    name: str
    read: int
    assigned: int


@dataclass(frozen=True)
class TfliteFile:
    """A network in a file.

    Attributes
    ----------
    name : str
        What the network is called, after the file.
    tensors : tuple of Tensor
        All of them.
    operations : tuple of Operation
        In the order in which they are computed.
    inputs, outputs : tuple of int
        Tensors by number; those of variables are none of them.
    variables : tuple of Variable, default empty
        What it keeps.
    """

    name: str
    tensors: tuple[Tensor, ...]
    operations: tuple[Operation, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    variables: tuple[Variable, ...] = ()
