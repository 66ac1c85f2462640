"""Files that only grow, line by line, with one writer."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hwquant.errors import HwquantError
from hwquant.files.locks import busy, try_lock
from hwquant.files.places import explained

_WAY = "choose a folder that exists and is writable"


class AppendedFile:
    """A file that is locked and appended to until it is closed; it is made where it is missing.

    Parameters
    ----------
    path : Path
        Path of the file; no symbolic link.

    Raises
    ------
    Busy
        Another process has it open.
    HwquantError
        It cannot be written, or is no ordinary file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        if path.is_symlink():
            raise HwquantError(f"cannot write {path}: it is a symbolic link; name another file")
        with explained(path, _WAY):
            self._descriptor = os.open(path, flags, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise HwquantError(f"cannot write {path}: it is no ordinary file; name another")
            if not try_lock(self._descriptor):
                raise busy(path)
        except HwquantError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file, and let others write."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self.close()

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return os.fstat(self._descriptor).st_size

    def read(self) -> bytes:
        """Read the whole file."""
        return os.pread(self._descriptor, self.size, 0)

    def cut(self, size: int) -> None:
        """Keep the first ``size`` bytes only, as an interrupted process left a part of a line."""
        with explained(self.path, _WAY):
            os.ftruncate(self._descriptor, size)

    def append(self, data: bytes) -> None:
        """Add bytes; they are on the disk when this returns, or none of them is in the file."""
        before = self.size
        with explained(self.path, _WAY):
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, before)
                raise
