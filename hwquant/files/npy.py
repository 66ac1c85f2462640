"""Arrays in .npy files: their headers are checked against what is there before memory is taken."""

from __future__ import annotations

import math
import tokenize
import warnings
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

NUMBERS = "biuf"
"""Kinds of dtypes that are read: nothing that has to be unpickled, and no text."""
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_MALFORMED = (
    *(ValueError, TypeError, SyntaxError, RecursionError, MemoryError, EOFError, KeyError),
    tokenize.TokenError,
)
"""Errors that numpy raises for a header that is none."""


@dataclass(frozen=True)
class Header:
    """The header of an array in an .npy file.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array.
    column_major : bool
        Whether its first index varies fastest.
    dtype : dtype
        Type of its elements.
    offset : int
        Where its numbers begin, in bytes from the beginning of the file.
    """

    shape: tuple[int, ...]
    column_major: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Size of the elements in bytes."""
        return self.count * self.dtype.itemsize


def read_header(stream: IO[bytes], size: int) -> Header:
    """Read the header of an array; the stream is at its numbers afterwards.

    Parameters
    ----------
    stream : binary file
        Stream at the beginning of the .npy file.
    size : int
        Size of that file in bytes.

    Raises
    ------
    ValueError
        There is no header, or its array is not of numbers, or has not the size that the file has room for.
    """
    try:
        read = _HEADERS.get(np.lib.format.read_magic(stream))
        if read is None:
            raise ValueError("it has an unknown version")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a header that Python 2 wrote
            shape, column_major, dtype = read(stream)
    except _MALFORMED as error:
        raise ValueError(f"it is no array: {' '.join(str(error).split()) or type(error).__name__}") from error
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded, they would have to be unpickled")
    header = Header(shape, column_major, dtype, stream.tell())
    if any(type(item) is not int or item < 0 for item in shape):
        raise ValueError(f"its shape is {shape!r:.60}")
    if header.offset + header.size != size:
        raise ValueError(f"its header says {header.offset + header.size} bytes, and there are {size}")
    return header


def from_bytes(header: Header, data: bytes | bytearray) -> NDArray[Any]:
    """Make the array whose numbers these bytes are; ValueError where its dtype is not of numbers."""
    if header.dtype.kind not in NUMBERS:
        raise ValueError(f"its dtype is {header.dtype}, and only numbers can be")
    order: Literal["F", "C"] = "F" if header.column_major else "C"
    array = np.frombuffer(data, header.dtype, header.count).reshape(header.shape, order=order)
    return array.astype(header.dtype.newbyteorder("="), copy=not array.flags.writeable)
