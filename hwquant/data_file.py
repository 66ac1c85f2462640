"""Arrays of an .npz file: each is judged by its header, and only as much of it is unpacked as is asked for."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import Damaged, HwquantError
from hwquant.files.npy import Header, from_bytes, read_header
from hwquant.files.reading import open_ordinary

FREE = 256 << 20
"""Bytes that any file may take in memory."""
RATIO = 50
"""How many times as large as in the file what takes more may be: real data does not compress as well."""
CHUNK = 1 << 20
"""Bytes that are unpacked at a time."""
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
ENCRYPTED = 1
_MALFORMED = (
    *(ValueError, EOFError, KeyError, IndexError, NotImplementedError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error),
)
"""All that zipfile and the reader of headers raise for bytes that are no .npz, or no longer one."""


@dataclass(frozen=True)
class StoredArray:
    """An array in an open file.

    Attributes
    ----------
    name : str
        Name of the array.
    header : Header
        Shape, dtype and order of its elements.
    stream : file
        Where the elements are read, unpacked.
    packed : int
        Bytes that the array takes in the file.
    """

    name: str
    header: Header
    stream: IO[bytes]
    packed: int

    @property
    def rows(self) -> int:
        """Length of its first dimension; 0 where it has none."""
        return self.header.shape[0] if self.header.shape else 0

    def bytes_of(self, rows: int) -> int:
        """Count the bytes in memory that hold the first rows: all bytes, where the array is stored columns first."""
        whole = rows == self.rows or self.header.column_major
        return self.header.size if whole else self.header.size // self.rows * rows

    def read(self, rows: int) -> NDArray[Any]:
        """Read the first rows; where these are all, the file's checksum is checked too.

        Raises
        ------
        EOFError
            The array ends early.
        ValueError
            The array has more than its header says.
        """
        size = self.bytes_of(rows)
        data = bytearray()
        while len(data) < size:
            part = self.stream.read(min(CHUNK, size - len(data)))
            if not part:
                raise EOFError(f"{self.name} ends early")
            data += part
        if size == self.header.size and self.stream.read(1):
            raise ValueError(f"{self.name} has more than its header says")
        header = self.header
        if size < header.size:
            header = Header((rows, *header.shape[1:]), False, header.dtype, header.offset)
        return from_bytes(header, data)[:rows] if header.shape else from_bytes(header, data)


class DataFile:
    """An open .npz file; :func:`open_data` opens one.

    Parameters
    ----------
    path : Path
        The file.
    archive : zipfile.ZipFile
        Its members.
    stack : ExitStack
        Where the streams of arrays are closed.

    Attributes
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, stack: ExitStack) -> None:
        self.path, self._archive, self._stack = path, archive, stack
        self._members: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            if info.filename in self._members:
                raise ValueError(f"{info.filename} is there twice")
            self._members[info.filename] = info

    @property
    def names(self) -> list[str]:
        """Names of the arrays, sorted."""
        return sorted(name.removesuffix(".npy") for name in self._members)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def array(self, name: str) -> StoredArray:
        """Open an array, of which only the header is read.

        Raises
        ------
        HwquantError
            The file has no array of this name.
        ValueError
            The array is stored as numpy stores none.
        """
        info = self._members.get(f"{name}.npy")
        if info is None:
            raise HwquantError(f"{self.path}: {name} is no array; write it with numpy.savez")
        if info.compress_type not in METHODS or info.flag_bits & ENCRYPTED:
            raise ValueError(f"{name} is encrypted, or compressed in a way that numpy does not write")
        stream = self._stack.enter_context(self._archive.open(info))
        return StoredArray(name, read_header(stream, info.file_size), stream, info.compress_size)

    def check_size(self, wanted: list[tuple[StoredArray, int]]) -> None:
        """Raise where rows of arrays take much more memory than the size of the file lets one expect.

        Parameters
        ----------
        wanted : list of tuple
            Arrays, each with the number of rows to read.

        Raises
        ------
        HwquantError
            They take too much.
        """
        size = sum(array.bytes_of(rows) for array, rows in wanted)
        packed = sum(array.packed for array, _ in wanted)
        if size > max(FREE, RATIO * packed):
            raise HwquantError(
                f"{self.path} has {packed:,} bytes, which unpack to {size:,}: more than {RATIO} times as many is "
                "refused; take less samples, or write it with numpy.savez, which does not compress"
            )


@contextmanager
def open_data(path: Path) -> Iterator[DataFile]:
    """Open an .npz file.

    Raises
    ------
    Damaged
        The file is no .npz file, or turns out to be damaged while it is read in the ``with`` block.
    HwquantError
        The file cannot be read.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_ordinary(path))
            if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                raise HwquantError(f"{path} is a single array; write it with numpy.savez(path, x=..., y=...)")
            yield DataFile(path, stack.enter_context(zipfile.ZipFile(file)), stack)
        except OSError as error:
            raise HwquantError(f"cannot read {path}: {error.strerror or error}") from error
        except _MALFORMED as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise Damaged(
                f"{path} is no .npz file, or it is truncated or damaged: {reason}", path=str(path)
            ) from error
